//! Is a status to be written now? Participants and legs are coarse: at most one write in ten seconds. Pure.

use plenum_api::room::{Basis, FlowLegs, Participants, RoomStatus};
use std::time::{Duration, Instant};

/// Between two writes for coarse fields alone.
pub(in crate::rooms) const PAUSE: Duration = Duration::from_secs(10);

/// What to do with a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::rooms) enum Decision {
    /// It is there already.
    Same,
    /// Only coarse fields differ: look again after this.
    Later(Duration),
    /// Write it.
    Write,
}

/// Compares.
pub(in crate::rooms) fn decide(
    old: Option<&RoomStatus>,
    new: &RoomStatus,
    last: Option<Instant>,
    now: Instant,
) -> Decision {
    let Some(old) = old else { return Decision::Write };
    if old == new {
        return Decision::Same;
    }
    let (old_rest, old_coarse) = split(old);
    let (new_rest, new_coarse) = split(new);
    let first_leg = old_coarse.1 != Some(Basis::Observed) && new_coarse.1 == Some(Basis::Observed);
    if old_rest != new_rest || first_leg {
        return Decision::Write;
    }
    match last.map(|last| PAUSE.saturating_sub(now.saturating_duration_since(last))) {
        Some(rest) if !rest.is_zero() => Decision::Later(rest),
        _ => Decision::Write,
    }
}

/// The coarse fields of a status.
type Coarse = (Participants, Option<Basis>, FlowLegs);

/// Coarse fields.
pub(in crate::rooms) fn of(status: Option<&RoomStatus>) -> Coarse {
    let flow = status.and_then(|status| status.flow.as_ref());
    let participants = status.and_then(|status| status.participants).unwrap_or_default();
    (participants, flow.map(|flow| flow.basis), flow.map(|flow| flow.legs).unwrap_or_default())
}

fn split(status: &RoomStatus) -> (RoomStatus, Coarse) {
    let coarse = of(Some(status));
    let mut rest = status.clone();
    rest.participants = None;
    if let Some(flow) = rest.flow.as_mut() {
        flow.basis = Basis::Planned;
        flow.legs = FlowLegs::default();
    }
    (rest, coarse)
}

#[cfg(test)]
mod tests {
    use super::*;
    use plenum_api::room::{FlowName, RoomFlow, SignalingMode};

    fn status(current: i32, basis: Basis, direct: i32) -> RoomStatus {
        let legs = FlowLegs { direct, ..FlowLegs::default() };
        let flow = RoomFlow { name: FlowName::MediaServer, basis, signaling: SignalingMode::Gateway, legs };
        let participants = Some(Participants { current, peak: current });
        RoomStatus { flow: Some(flow), participants, ..RoomStatus::default() }
    }

    #[test]
    fn nothing_is_written_in_the_steady_state() {
        let same = status(2, Basis::Observed, 4);
        assert_eq!(decide(Some(&same), &same, None, Instant::now()), Decision::Same);
    }

    #[test]
    fn the_first_leg_is_written_at_once_and_further_ones_within_ten_seconds() {
        let now = Instant::now();
        let (none, one, two) =
            (status(1, Basis::Planned, 0), status(1, Basis::Observed, 1), status(2, Basis::Observed, 2));
        assert_eq!(decide(Some(&none), &one, Some(now), now), Decision::Write);
        let later = now + Duration::from_secs(4);
        assert_eq!(decide(Some(&one), &two, Some(now), later), Decision::Later(Duration::from_secs(6)));
        assert_eq!(decide(Some(&one), &two, Some(now), now + PAUSE), Decision::Write);
        assert_eq!(decide(Some(&one), &none, Some(now), later), Decision::Later(Duration::from_secs(6)));
    }

    #[test]
    fn anything_else_is_written_at_once() {
        let now = Instant::now();
        let old = status(2, Basis::Observed, 4);
        let new = RoomStatus { observed_generation: Some(2), ..old.clone() };
        assert_eq!(decide(Some(&old), &new, Some(now), now), Decision::Write);
        assert_eq!(decide(None, &new, None, now), Decision::Write);
    }
}
