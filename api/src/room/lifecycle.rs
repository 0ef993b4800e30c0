//! When a room ends by itself, why it ended, and when it is deleted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When the room ends by itself, and when it is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Lifecycle {
    /// Ends the room when nobody has come for so long since it was applied, or opened again. Unset: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 31_536_000))]
    pub empty_timeout_seconds: Option<i32>,
    /// Ends the room when somebody was in it and nobody has been for so long. Unset: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 31_536_000))]
    pub departure_timeout_seconds: Option<i32>,
    /// Ends the room so long after its first participant came, whoever is in it. Unset: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 31_536_000))]
    pub max_duration_seconds: Option<i32>,
    /// Deletes the Room so long after it ended, by itself or by `desiredState: Closed`. Unset: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 31_536_000))]
    pub ttl_seconds_after_ended: Option<i32>,
}

/// Why a room is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum EndedReason {
    /// `desiredState: Closed`.
    Closed,
    /// `lifecycle.emptyTimeoutSeconds`: nobody came.
    EmptyTimeout,
    /// `lifecycle.departureTimeoutSeconds`: everybody had gone.
    DepartureTimeout,
    /// `lifecycle.maxDurationSeconds`.
    MaxDuration,
}

impl EndedReason {
    /// In plain words, to be put after "the room is over: ".
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Closed => "desiredState is Closed",
            Self::EmptyTimeout => "nobody came within lifecycle.emptyTimeoutSeconds",
            Self::DepartureTimeout => "everybody had gone for lifecycle.departureTimeoutSeconds",
            Self::MaxDuration => "lifecycle.maxDurationSeconds have passed since its first participant came",
        }
    }
}
