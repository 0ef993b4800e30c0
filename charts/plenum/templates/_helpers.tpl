{{- /* Names are fixed: one installation per cluster, and the Lease, the Secrets and the roles have one name each. */ -}}

{{- define "plenum.labels" -}}
app.kubernetes.io/part-of: plenum
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "plenum.image" -}}
{{- $root := index . 0 -}}
{{ printf "%s/%s:%s" $root.Values.image.registry (index . 1) ($root.Values.image.tag | default $root.Chart.AppVersion) }}
{{- end }}

{{- define "plenum.publicURL" -}}
{{- if .Values.gateway.publicURL -}}
{{ .Values.gateway.publicURL }}
{{- else -}}
{{ ternary "https" "http" (ne .Values.gateway.tls.secretName "") }}://plenum-gateway.{{ .Release.Namespace }}.svc:{{ .Values.gateway.service.port }}
{{- end -}}
{{- end }}

{{- define "plenum.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "plenum.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "plenum.identity" -}}
- name: PLENUM_POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: PLENUM_POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: PLENUM_POD_IP
  valueFrom: {fieldRef: {fieldPath: status.podIP}}
- name: PLENUM_LOG
  value: {{ .Values.logLevel | quote }}
{{- end }}

{{- define "plenum.probes" -}}
startupProbe:
  httpGet: {path: /livez, port: metrics}
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /livez, port: metrics}
  periodSeconds: 10
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /readyz, port: metrics}
  periodSeconds: 2
  failureThreshold: 2
{{- end }}

{{- define "plenum.spread" -}}
{{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
- maxSkew: 1
  topologyKey: {{ $key }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      app.kubernetes.io/name: {{ $ }}
  matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end }}

{{- /* A NetworkPolicyPeer list: who may read metrics. */ -}}
{{- define "plenum.metricsFrom" -}}
{{- if .Values.networkPolicies.metricsFrom -}}
{{ toYaml .Values.networkPolicies.metricsFrom }}
{{- else -}}
- namespaceSelector: {}
{{- end -}}
{{- end }}
