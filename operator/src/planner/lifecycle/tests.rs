use super::*;
use crate::planner::place::tests::room;
use proptest::prelude::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn limits(empty: i32, departure: i32, max: i32, ttl: i32) -> Lifecycle {
    let limit = |seconds| (seconds > 0).then_some(seconds);
    Lifecycle {
        empty_timeout_seconds: limit(empty),
        departure_timeout_seconds: limit(departure),
        max_duration_seconds: limit(max),
        ttl_seconds_after_ended: limit(ttl),
    }
}

/// A room that was applied at second 0, and what its status says.
struct Story {
    room: ValidRoom,
    before: Option<Life>,
}

impl Story {
    fn new(lifecycle: Lifecycle) -> Self {
        Self { room: ValidRoom { lifecycle, ..room() }, before: None }
    }

    fn plan(&self, presence: Presence, second: i64) -> LifePlan {
        plan_life(&self.room, &LifeSeen { before: self.before, presence, created: at(0) }, at(second))
    }

    fn was_occupied(&self) -> bool {
        self.before.is_some_and(|before| before.empty_since.is_none())
    }

    fn look(&mut self, presence: Presence, second: i64) -> LifePlan {
        let plan = self.plan(presence, second);
        self.before = Some(plan.life);
        plan
    }
}

fn reason(plan: &LifePlan) -> Option<EndedReason> {
    plan.life.ended.map(|ended| ended.reason)
}

#[test]
fn a_room_that_nobody_enters_ends_after_its_empty_timeout() {
    let mut story = Story::new(limits(10, 5, 0, 0));
    let first = story.look(Presence::Shut, 1);
    assert_eq!((first.life.empty_since, first.next), (Some(at(0)), Some(at(11))));
    assert_eq!(reason(&story.look(Presence::Nobody, 10)), None);
    let last = story.look(Presence::Nobody, 11);
    assert_eq!(last.life.ended, Some(Ended { at: at(11), reason: EndedReason::EmptyTimeout }));
    assert_eq!((last.next, last.expired), (None, false));
}

#[test]
fn a_room_whose_status_has_no_times_yet_counts_from_the_first_look() {
    let mut story = Story::new(limits(10, 5, 0, 0));
    story.before = Some(Life::default());
    assert_eq!(story.look(Presence::Unheard, 90).next, None);
    let first = story.look(Presence::Shut, 100);
    assert_eq!((first.life.empty_since, first.next), (Some(at(100)), Some(at(111))));
    assert_eq!(reason(&story.look(Presence::Shut, 111)), Some(EndedReason::EmptyTimeout));
}

#[test]
fn the_departure_timeout_counts_from_the_last_departure_and_only_after_somebody_came() {
    let mut story = Story::new(limits(0, 5, 0, 0));
    assert_eq!(story.look(Presence::Nobody, 100).next, None);
    let came = story.look(Presence::Somebody, 200);
    assert_eq!((came.life.started_at, came.life.empty_since, came.next), (Some(at(200)), None, None));
    story.look(Presence::Nobody, 300);
    story.look(Presence::Somebody, 304);
    assert_eq!(story.look(Presence::Nobody, 400).next, Some(at(406)));
    assert_eq!(reason(&story.look(Presence::Nobody, 406)), Some(EndedReason::DepartureTimeout));
}

#[test]
fn the_longest_duration_ends_a_room_with_people_in_it_and_without_a_word_of_its_pod() {
    for presence in [Presence::Somebody, Presence::Nobody, Presence::Shut, Presence::Unheard] {
        let mut story = Story::new(limits(0, 0, 30, 0));
        assert_eq!(story.look(Presence::Nobody, 50).next, None, "it counts from the first participant");
        assert_eq!(story.look(Presence::Somebody, 100).next, Some(at(131)));
        let last = story.look(presence, 131);
        assert_eq!((reason(&last), last.life.empty_since), (Some(EndedReason::MaxDuration), Some(at(131))));
    }
}

#[test]
fn a_leader_that_has_heard_nothing_ends_no_room_for_being_empty() {
    let mut story = Story::new(limits(10, 10, 0, 0));
    story.look(Presence::Nobody, 0);
    let waits = story.look(Presence::Unheard, 1_000);
    assert_eq!((reason(&waits), waits.next, waits.life.empty_since), (None, None, Some(at(0))));
    assert_eq!(reason(&story.plan(Presence::Somebody, 1_000)), None, "somebody came while nobody led");
    assert_eq!(reason(&story.plan(Presence::Nobody, 1_000)), Some(EndedReason::EmptyTimeout));
}

#[test]
fn who_lost_the_pod_under_a_call_has_not_departed() {
    let mut story = Story::new(limits(0, 5, 0, 0));
    story.look(Presence::Somebody, 100);
    assert_eq!(story.look(Presence::Shut, 1_000).next, None);
    assert_eq!(story.look(Presence::Nobody, 2_000).next, Some(at(2_006)), "the new pod tells that nobody came back");
}

#[test]
fn what_ended_by_itself_stays_ended_until_it_is_closed_and_opened_again() {
    let mut story = Story::new(limits(10, 0, 0, 0));
    story.look(Presence::Nobody, 0);
    story.look(Presence::Nobody, 11);
    assert_eq!(reason(&story.look(Presence::Shut, 500)), Some(EndedReason::EmptyTimeout));
    story.room.lifecycle = limits(0, 0, 0, 0);
    assert_eq!(
        reason(&story.look(Presence::Shut, 501)),
        Some(EndedReason::EmptyTimeout),
        "another limit opens nothing"
    );
    story.room.open = false;
    let closed = story.look(Presence::Shut, 600);
    assert_eq!(closed.life.ended, Some(Ended { at: at(11), reason: EndedReason::Closed }));
    story.room.open = true;
    story.room.lifecycle = limits(10, 0, 0, 0);
    let open = story.look(Presence::Shut, 700);
    assert_eq!(open.life, Life { empty_since: Some(at(700)), ..Life::default() });
    assert_eq!(open.next, Some(at(711)));
}

#[test]
fn an_ended_room_is_deleted_after_its_time_and_only_once_its_end_was_written() {
    for open in [true, false] {
        let mut story = Story::new(limits(10, 0, 0, 1));
        story.room.open = open;
        let ended = story.look(Presence::Nobody, 1_000);
        assert_eq!((ended.expired, ended.next), (false, Some(at(1_002))));
        assert!(!story.look(Presence::Shut, 1_001).expired);
        assert!(story.look(Presence::Shut, 1_002).expired);
    }
}

#[test]
fn a_status_without_times_begins_with_what_is_heard() {
    let mut story = Story::new(limits(10, 5, 0, 0));
    story.before = Some(Life::default());
    assert_eq!(story.plan(Presence::Unheard, 1_000).life, Life::default());
    assert_eq!(story.look(Presence::Nobody, 1_000).next, Some(at(1_011)), "not from when it was applied");
}

#[test]
fn a_limit_is_never_reached_early_although_status_has_whole_seconds() {
    let mut story = Story::new(limits(0, 5, 0, 0));
    story.look(Presence::Somebody, 100);
    let left = Timestamp::from_millisecond(200_900).unwrap();
    let seen = |before| LifeSeen { before, presence: Presence::Nobody, created: at(0) };
    story.before = Some(plan_life(&story.room, &seen(story.before), left).life);
    let early = Timestamp::from_millisecond(205_800).unwrap();
    assert_eq!(reason(&plan_life(&story.room, &seen(story.before), early)), None);
    assert!(reason(&plan_life(&story.room, &seen(story.before), at(206))).is_some());
}

/// What really happens in a room, and what its leader is told of it.
#[derive(Debug, Clone)]
enum Turn {
    Wait(i64),
    Come,
    Go,
    NewLeader,
    Heard,
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let turn = prop_oneof![
        3 => (1i64..40).prop_map(Turn::Wait),
        2 => Just(Turn::Come),
        2 => Just(Turn::Go),
        1 => Just(Turn::NewLeader),
        2 => Just(Turn::Heard),
    ];
    proptest::collection::vec(turn, 1..60)
}

/// The truth about a room: who is in it, and since when.
#[derive(Default)]
struct Truth {
    people: u32,
    first: Option<i64>,
    emptied: i64,
}

impl Truth {
    fn allows(&self, limits: &Lifecycle, reason: EndedReason, now: i64) -> bool {
        let passed = |since: i64, limit: Option<i32>| limit.is_some_and(|limit| now - since >= i64::from(limit));
        match reason {
            EndedReason::EmptyTimeout => self.first.is_none() && passed(0, limits.empty_timeout_seconds),
            EndedReason::DepartureTimeout => self.people == 0 && passed(self.emptied, limits.departure_timeout_seconds),
            EndedReason::MaxDuration => self.first.is_some_and(|first| passed(first, limits.max_duration_seconds)),
            EndedReason::Closed => false,
        }
    }
}

proptest! {
    /// The leader is told of who comes and goes at once, and a new one by the first report. Nothing ends but by a limit that
    /// has really passed, and nobody who is in a room is put out for being away.
    #[test]
    fn a_room_ends_by_a_limit_that_has_passed_and_by_no_other(
        turns in turns(), empty in 0i32..30, departure in 0i32..30, max in 0i32..90,
    ) {
        let limits = limits(empty, departure, max, 0);
        let mut story = Story::new(limits);
        let (mut truth, mut heard, mut now) = (Truth::default(), true, 0i64);
        for turn in turns {
            match turn {
                Turn::Wait(seconds) => now += seconds,
                Turn::Come => {
                    truth.people += 1;
                    truth.first = truth.first.or(Some(now));
                }
                // Who came and went before a new leader heard of them has left no trace.
                Turn::Go if truth.people > 0 && (heard || story.was_occupied()) => {
                    truth.people -= 1;
                    truth.emptied = now;
                }
                Turn::Go => {}
                Turn::NewLeader => heard = false,
                Turn::Heard => heard = true,
            }
            let told = if truth.people > 0 { Presence::Somebody } else { Presence::Nobody };
            let plan = story.look(if heard { told } else { Presence::Unheard }, now);
            if let Some(Ended { reason, .. }) = plan.life.ended {
                prop_assert!(truth.allows(&limits, reason, now), "{reason:?} at {now}: {:?}", plan.life);
                return Ok(());
            }
            if heard && truth.people == 0 {
                let alone = if truth.first.is_some() { departure } else { empty };
                prop_assert!(alone == 0 || plan.next.is_some(), "nobody would look again: {plan:?}");
            }
            prop_assert!(plan.next.is_none_or(|next| next > at(now)), "{plan:?} at {now}");
            prop_assert_eq!(story.plan(if heard { told } else { Presence::Unheard }, now).life, plan.life, "at rest");
        }
    }
}
