//! Is a status to be written now? Participants, legs and what is said of them are coarse: at most one write in ten
//! seconds. Pure.

use super::verdicts::SERVING;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use plenum_api::conditions::READY;
use plenum_api::room::{Basis, FlowLegs, FlowName, Participants, RoomStatus};
use std::time::{Duration, Instant};

/// Between two writes for coarse fields alone.
pub(in crate::rooms) const PAUSE: Duration = Duration::from_secs(10);
/// Before relays are asked again how clients reach them.
const UNSETTLED: Duration = Duration::from_secs(1);

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

/// When coarse fields may be written.
#[derive(Debug, Clone, Copy)]
pub(in crate::rooms) struct Pace {
    /// Last write of coarse fields.
    pub(in crate::rooms) last: Option<Instant>,
    /// A relay has not said yet how a client reaches it, and will in a moment.
    pub(in crate::rooms) unsettled: bool,
    /// The room has limits that count from who comes and goes: a new leader must know when that was.
    pub(in crate::rooms) timed: bool,
}

/// Compares.
pub(in crate::rooms) fn decide(old: Option<&RoomStatus>, new: &RoomStatus, pace: Pace, now: Instant) -> Decision {
    let Some(old) = old else { return Decision::Write };
    if old == new {
        return Decision::Same;
    }
    let (old_rest, old_coarse) = split(old);
    let (new_rest, new_coarse) = split(new);
    if old_rest != new_rest {
        return Decision::Write;
    }
    if pace.timed && old_coarse.times != new_coarse.times {
        return Decision::Write;
    }
    if pace.unsettled {
        return Decision::Later(UNSETTLED);
    }
    if !old_coarse.is_observed() && new_coarse.is_observed() {
        return Decision::Write;
    }
    match pace.last.map(|last| PAUSE.saturating_sub(now.saturating_duration_since(last))) {
        Some(rest) if !rest.is_zero() => Decision::Later(rest),
        _ => Decision::Write,
    }
}

/// The coarse fields of a status.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::rooms) struct Coarse {
    participants: Participants,
    flow: Option<(FlowName, Basis, FlowLegs)>,
    said: Option<String>,
    /// When somebody came first, and since when nobody is there.
    times: (Option<Time>, Option<Time>),
}

impl Coarse {
    fn is_observed(&self) -> bool {
        self.flow.is_some_and(|(_, basis, _)| basis == Basis::Observed)
    }
}

/// Coarse fields.
pub(in crate::rooms) fn of(status: Option<&RoomStatus>) -> Coarse {
    let flow = status.and_then(|status| status.flow.as_ref());
    let ready = status.into_iter().flat_map(|status| &status.conditions).find(|condition| condition.type_ == READY);
    Coarse {
        participants: status.and_then(|status| status.participants).unwrap_or_default(),
        flow: flow.map(|flow| (flow.name, flow.basis, flow.legs)),
        said: ready.filter(|ready| ready.reason == SERVING).map(|ready| ready.message.clone()),
        times: status.map(|status| (status.started_at.clone(), status.empty_since.clone())).unwrap_or_default(),
    }
}

fn split(status: &RoomStatus) -> (RoomStatus, Coarse) {
    let coarse = of(Some(status));
    let mut rest = status.clone();
    rest.participants = None;
    (rest.started_at, rest.empty_since) = (None, None);
    if let Some(flow) = rest.flow.as_mut() {
        (flow.name, flow.basis, flow.legs) = (FlowName::MediaServer, Basis::Planned, FlowLegs::default());
    }
    for ready in rest.conditions.iter_mut().filter(|condition| condition.type_ == READY && condition.reason == SERVING)
    {
        ready.message.clear();
    }
    (rest, coarse)
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::jiff::Timestamp;
    use plenum_api::conditions::{self, Truth, Verdict};
    use plenum_api::room::{RoomFlow, SignalingMode};

    fn status(current: i32, basis: Basis, direct: i32) -> RoomStatus {
        let legs = FlowLegs { direct, ..FlowLegs::default() };
        let flow = RoomFlow { name: FlowName::MediaServer, basis, signaling: SignalingMode::Gateway, legs };
        let participants = Some(Participants { current, peak: current });
        RoomStatus { flow: Some(flow), participants, ..RoomStatus::default() }
    }

    fn last(at: Instant) -> Pace {
        Pace { last: Some(at), unsettled: false, timed: false }
    }

    const NEVER: Pace = Pace { last: None, unsettled: false, timed: false };

    #[test]
    fn nothing_is_written_in_the_steady_state() {
        let same = status(2, Basis::Observed, 4);
        assert_eq!(decide(Some(&same), &same, NEVER, Instant::now()), Decision::Same);
    }

    #[test]
    fn the_first_leg_is_written_at_once_and_further_ones_within_ten_seconds() {
        let now = Instant::now();
        let (none, one, two) =
            (status(1, Basis::Planned, 0), status(1, Basis::Observed, 1), status(2, Basis::Observed, 2));
        assert_eq!(decide(Some(&none), &one, last(now), now), Decision::Write);
        let later = now + Duration::from_secs(4);
        assert_eq!(decide(Some(&one), &two, last(now), later), Decision::Later(Duration::from_secs(6)));
        assert_eq!(decide(Some(&one), &two, last(now), now + PAUSE), Decision::Write);
        assert_eq!(decide(Some(&one), &none, last(now), later), Decision::Later(Duration::from_secs(6)));
    }

    #[test]
    fn what_is_said_of_relays_is_coarse_too() {
        let now = Instant::now();
        let said = |words: &str| {
            let mut status = status(2, Basis::Observed, 4);
            let verdict = Verdict::new(Truth::True, SERVING, words);
            conditions::set(&mut status.conditions, READY, verdict, None, Timestamp::UNIX_EPOCH);
            status
        };
        let (old, new) = (said("one is relayed"), said("two are relayed"));
        assert_eq!(decide(Some(&old), &new, last(now), now), Decision::Later(PAUSE));
        assert_eq!(decide(Some(&old), &new, last(now), now + PAUSE), Decision::Write);
        assert_ne!(of(Some(&old)), of(Some(&new)));
    }

    #[test]
    fn a_relay_that_has_not_spoken_yet_is_waited_for() {
        let now = Instant::now();
        let waiting = Pace { last: None, unsettled: true, timed: false };
        let (none, one) = (status(1, Basis::Planned, 0), status(1, Basis::Observed, 1));
        assert_eq!(decide(Some(&none), &one, waiting, now), Decision::Later(UNSETTLED));
        let other = RoomStatus { observed_generation: Some(2), ..one };
        assert_eq!(decide(Some(&none), &other, waiting, now), Decision::Write);
    }

    #[test]
    fn who_comes_and_goes_is_written_at_once_where_limits_count_from_it() {
        let now = Instant::now();
        let old = status(0, Basis::Planned, 0);
        let new = RoomStatus { started_at: Some(Time(Timestamp::UNIX_EPOCH)), ..status(1, Basis::Planned, 0) };
        assert_eq!(decide(Some(&old), &new, last(now), now), Decision::Later(PAUSE));
        let timed = Pace { timed: true, ..last(now) };
        assert_eq!(decide(Some(&old), &new, timed, now), Decision::Write);
        let more = RoomStatus { participants: Some(Participants { current: 2, peak: 2 }), ..new.clone() };
        assert_eq!(decide(Some(&new), &more, timed, now), Decision::Later(PAUSE), "only the first one counts");
    }

    #[test]
    fn anything_else_is_written_at_once() {
        let now = Instant::now();
        let old = status(2, Basis::Observed, 4);
        let new = RoomStatus { observed_generation: Some(2), ..old.clone() };
        assert_eq!(decide(Some(&old), &new, last(now), now), Decision::Write);
        assert_eq!(decide(None, &new, NEVER, now), Decision::Write);
    }
}
