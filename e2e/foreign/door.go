package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// maxBody bounds what is read of an answer, in bytes.
const maxBody = 1 << 20

// door is one endpoint of a room: WHIP (RFC 9725) or WHEP.
type door struct {
	endpoint, token string
}

// offer opens a session: the answer, and the URL of the session.
func (d door) offer(ctx context.Context, offer string) (answer, resource string, err error) {
	header, body, err := d.ask(ctx, http.MethodPost, d.endpoint, "application/sdp", []byte(offer), http.StatusCreated)
	if err != nil {
		return "", "", err
	}
	base, err := url.Parse(d.endpoint)
	if err != nil {
		return "", "", fmt.Errorf("reading the endpoint's URL: %w", err)
	}
	location, err := base.Parse(header.Get("Location"))
	if err != nil || header.Get("Location") == "" {
		return "", "", fmt.Errorf("the answer names no session: Location is %q", header.Get("Location"))
	}
	return string(body), location.String(), nil
}

// end ends a session.
func (d door) end(ctx context.Context, resource string) error {
	_, _, err := d.ask(ctx, http.MethodDelete, resource, "", nil, http.StatusOK)
	return err
}

// servers are the room's ICE servers for this client.
func (d door) servers(ctx context.Context, learn learning) ([]server, error) {
	if learn == byLink {
		header, _, err := d.ask(ctx, http.MethodOptions, d.endpoint, "", nil, http.StatusOK)
		if err != nil {
			return nil, err
		}
		return serversOf(header.Values("Link"))
	}
	target, err := url.Parse(d.endpoint)
	if err != nil {
		return nil, fmt.Errorf("reading the endpoint's URL: %w", err)
	}
	// /v1/rooms/NAMESPACE/NAME/whip
	parts := strings.Split(strings.Trim(target.Path, "/"), "/")
	if len(parts) != 5 {
		return nil, fmt.Errorf("%s is no endpoint of a room", target.Path)
	}
	target.Path, target.RawQuery = "/v1/ice-servers", ""
	body, err := json.Marshal(map[string]string{"namespace": parts[2], "room": parts[3]})
	if err != nil {
		return nil, fmt.Errorf("asking for ICE servers: %w", err)
	}
	_, text, err := d.ask(ctx, http.MethodPost, target.String(), "application/json", body, http.StatusOK)
	if err != nil {
		return nil, err
	}
	var found struct {
		Servers []server `json:"iceServers"`
	}
	if err := json.Unmarshal(text, &found); err != nil {
		return nil, fmt.Errorf("reading the ICE servers: %w", err)
	}
	return found.Servers, nil
}

func (d door) ask(ctx context.Context, method, target, media string, body []byte, want int) (http.Header, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", method, err)
	}
	request.Header.Set("Authorization", "Bearer "+d.token)
	if media != "" {
		request.Header.Set("Content-Type", media)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, nil, err
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return nil, nil, fmt.Errorf("%s %s: %w", method, target, err)
	}
	if response.StatusCode != want {
		return nil, nil, fmt.Errorf("%s %s: %s: %s", method, target, response.Status, text)
	}
	return response.Header, text, nil
}
