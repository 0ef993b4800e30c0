//! What is read from the Kubernetes API: Rooms, and the API keys of a namespace.

use crate::mint::ApiKey;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use kube::{Api, Client, Config};
use plenum_api::Room;
use plenum_protocol::token::API_KEYS_SECRET;

/// Most Rooms in one page of a list.
const PAGE: u32 = 500;

/// Why the cluster gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClusterError {
    /// No kubeconfig, or one that cannot be used.
    #[error("reading the kubeconfig")]
    Config(#[source] kube::config::InferConfigError),
    /// No client from that kubeconfig.
    #[error("connecting to the cluster")]
    Connect(#[source] kube::Error),
    /// A call failed.
    #[error("reading {what}")]
    Read {
        /// What was read.
        what: String,
        /// Why not.
        #[source]
        source: kube::Error,
    },
    /// The API server refused a call.
    #[error("reading {what}: {message}")]
    Refused {
        /// What was read.
        what: String,
        /// The API server's own words.
        message: String,
    },
    /// The API server has no such kind.
    #[error("the cluster does not know Rooms: is Plenum installed in it?")]
    NoKind,
    /// There is no such Room.
    #[error("there is no Room {name:?} in namespace {namespace:?}")]
    NoRoom {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
    },
    /// The namespace has no API keys.
    #[error(
        "namespace {0:?} has no Secret {API_KEYS_SECRET:?} with API keys: make one with \
         `kubectl -n {0} create secret generic {API_KEYS_SECRET} --from-literal=demo=$(openssl rand -hex 32)`"
    )]
    NoKeys(String),
    /// There is no such key.
    #[error("Secret {API_KEYS_SECRET:?} has no key {0:?}")]
    NoSuchKey(String),
    /// The person may not read the Secret.
    #[error("your user may not read Secret {API_KEYS_SECRET:?} in namespace {0:?}")]
    KeysForbidden(String),
}

/// A cluster and a namespace in it.
pub(crate) struct Cluster {
    client: Client,
    namespace: String,
}

impl Cluster {
    /// From the environment's kubeconfig; `namespace` beats the one in it.
    pub(crate) async fn connect(namespace: Option<&str>) -> Result<Self, ClusterError> {
        let config = Config::infer().await.map_err(ClusterError::Config)?;
        let namespace = namespace.unwrap_or(&config.default_namespace).to_owned();
        let client = Client::try_from(config).map_err(ClusterError::Connect)?;
        Ok(Self { client, namespace })
    }

    /// The namespace that is meant.
    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// One Room.
    pub(crate) async fn room(&self, name: &str) -> Result<Room, ClusterError> {
        let api: Api<Room> = Api::namespaced(self.client.clone(), &self.namespace);
        let found = api.get_opt(name).await.map_err(|source| read(format!("Room {name:?}"), source))?;
        found.ok_or_else(|| ClusterError::NoRoom { namespace: self.namespace.clone(), name: name.to_owned() })
    }

    /// The Rooms of the namespace, or of all.
    pub(crate) async fn rooms(&self, everywhere: bool) -> Result<Vec<Room>, ClusterError> {
        let api: Api<Room> = match everywhere {
            true => Api::all(self.client.clone()),
            false => Api::namespaced(self.client.clone(), &self.namespace),
        };
        let mut rooms = Vec::new();
        let mut page = ListParams::default().limit(PAGE);
        loop {
            let list = api.list(&page).await.map_err(|source| read("Rooms".to_owned(), source))?;
            rooms.extend(list.items);
            match list.metadata.continue_ {
                Some(token) if !token.is_empty() => page = page.continue_token(&token),
                _ => return Ok(rooms),
            }
        }
    }

    /// An API key of the namespace: the one with that id, or the first.
    pub(crate) async fn api_key(&self, id: Option<&str>) -> Result<ApiKey, ClusterError> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let secret = match api.get_opt(API_KEYS_SECRET).await {
            Ok(secret) => secret.ok_or_else(|| ClusterError::NoKeys(self.namespace.clone()))?,
            Err(kube::Error::Api(status)) if status.code == 403 => {
                return Err(ClusterError::KeysForbidden(self.namespace.clone()));
            }
            Err(source) => return Err(read(format!("Secret {API_KEYS_SECRET:?}"), source)),
        };
        let mut keys = secret.data.unwrap_or_default().into_iter();
        let found = match id {
            Some(id) => keys.find(|(key, _)| key == id).ok_or_else(|| ClusterError::NoSuchKey(id.to_owned()))?,
            None => keys.next().ok_or_else(|| ClusterError::NoKeys(self.namespace.clone()))?,
        };
        Ok(ApiKey { id: found.0, secret: found.1.0 })
    }
}

fn read(what: String, source: kube::Error) -> ClusterError {
    match source {
        kube::Error::Api(status) if status.code == 404 => ClusterError::NoKind,
        kube::Error::Api(status) => ClusterError::Refused { what, message: status.message },
        source => ClusterError::Read { what, source },
    }
}
