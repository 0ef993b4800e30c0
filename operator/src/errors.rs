//! Errors as one line of text.

use std::error::Error;

/// The message of an error and of all its sources. Of an answer of the API server, its own words only.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let said = error.downcast_ref::<kube::Error>().and_then(api_message);
        next = if said.is_some() { None } else { error.source() };
        let message = said.unwrap_or_else(|| error.to_string());
        if !text.contains(&message) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(&message);
        }
    }
    text
}

fn api_message(error: &kube::Error) -> Option<String> {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => Some(status.message.clone()),
        _ => None,
    }
}

/// Whether the API server refused a write because the object changed meanwhile.
#[must_use]
pub fn is_conflict(error: &kube::Error) -> bool {
    code(error) == Some(409)
}

/// Whether the API server has no such object.
#[must_use]
pub fn is_not_found(error: &kube::Error) -> bool {
    code(error) == Some(404)
}

/// HTTP status with which the API server refused.
#[must_use]
pub fn code(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_servers_words_are_kept_and_its_structures_are_not() {
        let status = kube::core::Status::failure("no host ports here", "Forbidden").with_code(403);
        let error = kube::Error::Api(Box::new(status));
        assert_eq!(chain(&error), "no host ports here");
        assert_eq!(code(&error), Some(403));
    }
}
