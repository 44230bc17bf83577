/// Makes a `#[tokio::test]` of every check of the suite, under its name.
///
/// Takes an expression that makes a [`Harness`](crate::conformance::Harness) of a check's name. Several servers go into modules of
/// their own:
///
/// ```ignore
/// mod postgres15 {
///     whimbrel_connector::conformance_tests!(|check| crate::support::Pair::on(Engine::Postgres15, check));
/// }
/// ```
#[macro_export]
macro_rules! conformance_tests {
    ($harness:expr) => {
        $crate::conformance_tests! { @each $harness;
            tables_are_offered_sorted_and_as_they_are
            views_and_system_tables_are_not_offered
            types_may_be_made_again
            a_view_does_not_see_later_commits
            all_readers_see_the_same_moment
            a_dropped_reader_makes_room
            rows_are_found_by_their_keys
            a_look_sees_the_latest_commit
            every_row_lies_in_exactly_one_chunk
            a_small_table_is_one_chunk
            chunks_are_about_as_large_as_asked
            a_plan_holds_while_the_table_is_unchanged
            a_plan_that_holds_covers_every_row
            blocks_are_about_as_large_as_asked
            a_row_larger_than_a_block_is_a_block
            a_chunk_opened_again_gives_the_same_rows
            a_filter_leaves_out_no_row_that_it_selects
            a_dropped_table_is_a_fault_of_the_table
            an_altered_table_is_a_fault_of_the_table
            epochs_only_grow
            a_task_is_claimed_again_by_its_holder_only
            a_cleared_task_is_as_if_just_begun
            an_older_epoch_is_refused
            what_a_replaced_worker_has_open_is_ended
            a_chunk_whose_record_is_gone_leaves_nothing
            unrecorded_tables_are_as_if_never_prepared
            a_rebased_plan_keeps_what_is_done
            a_forgotten_task_cannot_write
            forgetting_may_be_repeated
            tasks_do_not_disturb_each_other
            a_table_is_fed_by_one_task
            a_table_is_fed_by_tasks_together
            drop_and_create_leaves_the_new_table_alone
            truncate_keeps_the_table_and_no_rows
            do_nothing_keeps_the_table_and_its_rows
            do_nothing_keeps_rows_that_come_before_its_own
            every_mode_makes_what_is_missing
            preparing_may_be_repeated
            keys_are_made_as_the_policy_says
            duplicate_keys_are_refused
            a_preview_changes_nothing
            a_table_is_finished_when_every_chunk_is_recorded
            a_chunk_rolled_back_leaves_nothing
            a_dropped_loader_leaves_nothing
            beginning_anew_gives_the_open_chunk_up
            rows_and_record_appear_together
            the_record_tells_what_was_committed
            records_come_in_order_of_name
            every_shape_arrives_whole
            small_statements_load_the_same_rows
            raw_rows_arrive_like_decoded_ones
            rows_in_parts_arrive_like_whole_ones
            a_row_whose_parts_end_early_leaves_nothing
            loaders_work_side_by_side
            what_is_refused_of_a_sifted_chunk_leaves_the_rest
        }
    };
    (@each $harness:expr; $($check:ident)+) => {
        $(
            #[tokio::test]
            async fn $check() {
                let make: fn(&str) -> _ = $harness;
                $crate::conformance::$check(&make(stringify!($check))).await;
            }
        )+
    };
}

#[cfg(test)]
mod tests {
    const FILES: [&str; 9] = [
        include_str!("catalog.rs"),
        include_str!("chunks.rs"),
        include_str!("epoch.rs"),
        include_str!("load.rs"),
        include_str!("lookup.rs"),
        include_str!("plan.rs"),
        include_str!("prepare.rs"),
        include_str!("record.rs"),
        include_str!("snapshot.rs"),
    ];

    #[test]
    fn every_check_is_made_a_test() {
        let listed: Vec<&str> = include_str!("list.rs").lines().map(str::trim).collect();
        for line in FILES.iter().flat_map(|file| file.lines()) {
            if let Some(rest) = line.strip_prefix("pub async fn ") {
                let name = rest.split('(').next().unwrap();
                assert!(listed.contains(&name), "{name} is not in the list");
            }
        }
    }
}
