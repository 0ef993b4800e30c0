//! All tests that need a cluster, one file per requirement, begun in the order of the list.
//!
//! `PLENUM_E2E` names the file that says where everything is: `make e2e` starts a cluster and writes it. Without it the
//! tests are passed over, so that `cargo test` works everywhere. `-- NAME` runs those whose name contains NAME.

mod api_rules;
mod charts;
mod clients;
mod dead_node;
mod exposure;
mod hostile_input;
mod leadership;
mod lifecycle;
mod peer_hostile;
mod peer_recovery;
mod peer_rooms;
mod peer_upgrade;
mod pion;
mod placement;
mod recovery;
mod rooms_carry_media;
mod scaling;
mod turn_choice;
mod turn_foreign;
mod turn_recovery;
mod turn_rooms;
mod turn_ssrf;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use plenum_e2e::env::Env;
use plenum_e2e::lanes::{Company, LANES};
use plenum_e2e::scene::{Body, Scene};
use plenum_e2e::suite::Suite;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use tokio::runtime::Runtime;

/// What a test needs beyond an API server with Plenum on it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// Nothing.
    Cluster,
    /// Nodes and processes of this machine that can be killed and frozen.
    EmbeddedCluster,
}

struct Test {
    name: &'static str,
    needs: Needs,
    company: Company,
    body: Body,
}

macro_rules! tests {
    ($($needs:ident $company:ident $module:ident { $($name:ident),* $(,)? })*) => {
        &[$($(Test {
            name: concat!(stringify!($module), "::", stringify!($name)),
            needs: Needs::$needs,
            company: Company::$company,
            body: |scene| Box::pin($module::$name(scene)),
        }),*),*]
    };
}

/// Cheap ones first, then those that take long; those that hurt the cluster last.
const TESTS: &[Test] = tests! {
    Cluster Shared api_rules {
        each_rule_takes_and_refuses_what_it_says,
        every_example_is_taken,
        kubectl_explains_and_shows_columns,
    }
    Cluster Shared rooms_carry_media {
        two_browsers_in_one_region_see_and_hear_each_other,
        three_browsers_in_two_regions_see_and_hear_each_other,
    }
    Cluster Shared placement {
        a_room_lands_in_the_region_of_its_people,
        allowed_regions_are_obeyed,
        a_room_without_a_fitting_pool_says_so_and_heals,
        a_pool_that_does_not_admit_the_namespace_is_refused,
        a_waiting_room_is_bound_by_its_first_participant,
        a_full_room_and_a_closed_room_take_nobody,
        a_room_at_rest_is_not_written,
    }
    Cluster Shared lifecycle {
        a_room_that_nobody_enters_ends_and_opens_again_when_it_was_closed,
        a_room_ends_when_everybody_has_gone_and_not_before,
        two_peers_are_ready_without_a_pod_and_their_room_ends_when_both_have_gone,
        a_room_ends_after_its_longest_duration_with_people_in_it,
        a_room_that_is_over_is_deleted_after_its_time,
    }
    Cluster Shared clients {
        browsers_of_any_origin_may_ask_first,
        plain_whip_and_whep_carry_media_across_origins,
    }
    Cluster Shared hostile_input {
        bad_tokens_open_nothing,
        bad_requests_get_problem_documents,
        a_bad_message_on_the_room_socket_gets_an_error,
        garbage_at_the_media_port_is_counted_and_harms_nobody,
    }
    Cluster Shared peer_rooms {
        two_browsers_speak_straight_within_and_across_regions,
        a_pair_is_relayed_where_the_room_says_always,
    }
    EmbeddedCluster Shared peer_rooms {
        two_clients_that_reach_only_servers_are_relayed,
        one_side_is_relayed_by_a_pool_on_the_network_of_its_nodes,
    }
    Cluster Shared peer_upgrade {
        a_call_goes_on_by_a_media_server_when_the_room_is_patched,
        a_third_person_brings_the_media_server_where_the_room_says_so,
        a_relayed_pair_grows_and_stays_relayed,
    }
    Cluster Shared peer_hostile { a_hostile_peer_is_cut_off_and_harms_nobody }
    EmbeddedCluster Shared turn_recovery {
        a_relay_that_leaves_hands_its_legs_over_in_less_than_a_second,
        a_relays_death_costs_its_legs_less_than_five_seconds,
    }
    Cluster Shared charts { programs_are_ready_measured_and_hardened, a_gateway_with_a_certificate_speaks_tls }
    Cluster Shared exposure { a_host_network_pool_with_two_workers_carries_media }
    Cluster Shared scaling { a_pool_is_scaled_up_and_down_under_calls }
    Cluster Shared turn_rooms { a_room_that_always_relays_counts_the_same_bytes_everywhere }
    EmbeddedCluster Shared turn_rooms { clients_whose_networks_block_udp_are_relayed_and_the_room_says_so }
    Cluster Shared turn_choice { a_room_says_why_it_has_no_relay_and_heals, a_room_without_relays_offers_stun_only }
    EmbeddedCluster Shared turn_choice { a_client_gets_a_relay_near_itself, a_balancers_address_leads_clients_to_relays }
    Cluster Shared turn_foreign {
        a_turn_secret_that_the_operator_may_not_read_is_named,
        bad_turn_credentials_allocate_nothing,
    }
    EmbeddedCluster Alone turn_foreign { foreign_clients_relay_by_udp_tcp_and_tls }
    EmbeddedCluster Shared pion { pion_publishes_and_watches_directly, pion_publishes_and_watches_by_relays_alone }
    EmbeddedCluster Shared turn_ssrf { a_relay_reaches_nothing_inside_the_cluster }
    Cluster Shared turn_recovery { a_rotated_turn_secret_drops_nobody, a_drained_relay_keeps_its_calls_until_they_end }
    Cluster Shared recovery {
        a_room_deleted_and_recreated_works_at_once,
        a_deleted_media_pod_is_replaced_and_pages_rejoin,
    }
    EmbeddedCluster Shared recovery { a_restarted_media_process_forgets_and_its_rooms_are_bound_anew }
    Cluster Alone recovery { calls_go_on_while_no_operator_runs }
    Cluster Alone leadership { a_busy_leader_keeps_its_lease }
    Cluster Alone lifecycle { a_new_leader_goes_on_with_the_time_of_rooms }
    EmbeddedCluster Alone leadership { a_frozen_leader_overwrites_nothing_when_it_thaws }
    EmbeddedCluster Alone dead_node {
        a_killed_node_moves_its_rooms_within_five_seconds,
        a_node_that_dies_with_the_leader_moves_its_rooms_too,
    }
    EmbeddedCluster Alone peer_recovery { a_homes_death_costs_signaling_three_seconds_and_media_nothing }
    EmbeddedCluster Alone recovery { a_gateway_that_goes_sends_its_clients_to_another }
};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(LANES);
    let runtime = match Runtime::new() {
        Ok(runtime) => Arc::new(runtime),
        Err(error) => {
            eprintln!("starting the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let suite = Arc::new(OnceLock::new());
    let trials = TESTS.iter().map(|test| trial(test, &runtime, &suite)).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    if let Some(Ok(suite)) = suite.get()
        && let Err(error) = runtime.block_on(suite.finish())
    {
        eprintln!("cleaning up: {error:#}");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

type SharedSuite = Arc<OnceLock<Result<Suite, String>>>;

fn trial(test: &'static Test, runtime: &Arc<Runtime>, suite: &SharedSuite) -> Trial {
    let (runtime, suite) = (runtime.clone(), suite.clone());
    Trial::ignorable_test(test.name, move || {
        if !Env::is_given() {
            return Ok(Completion::ignored_with("needs a cluster: `make e2e` starts one"));
        }
        let start = || runtime.block_on(Suite::start()).map_err(|error| format!("{error:#}"));
        let suite = suite.get_or_init(start).as_ref().map_err(Failed::from)?;
        if test.needs == Needs::EmbeddedCluster && suite.env.cluster().is_none() {
            return Ok(Completion::ignored_with("needs nodes that may be killed: only on the embedded cluster"));
        }
        runtime
            .block_on(Scene::play(suite, test.name, test.company, test.body))
            .map_err(|error| Failed::from(format!("{error:#}")))?;
        Ok(Completion::Completed)
    })
}
