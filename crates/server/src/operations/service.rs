//! The operations of the API that are built, each with its handler.

use std::sync::Arc;

use whimbrel_model as model;
use whimbrel_model::{Answer, CallContext, Dms};

use super::{
    assessments, catalog, certificates, connections, endpoints, events, instances, maintenance,
    schemas, subnet_groups, table_statistics, tags, tasks,
};
use crate::context::Context;

/// The API over the shared context. What is not listed here answers that it is not built.
pub(crate) struct Service(pub(crate) Arc<Context>);

/// One line per operation: its method, input, output, and the handler that gets the context and the input.
macro_rules! operations {
    ($($method:ident($input:ident) -> $output:ident => $handler:expr;)+) => {
        impl Dms for Service {
            $(
                fn $method<'a>(&'a self, _caller: &'a CallContext, input: model::$input) -> Answer<'a, model::$output> {
                    Box::pin(async move { Ok($handler(&self.0, input).await?) })
                }
            )+
        }
    };
}

operations! {
    apply_pending_maintenance_action(ApplyPendingMaintenanceActionMessage) -> ApplyPendingMaintenanceActionResponse => maintenance::apply_pending;
    describe_pending_maintenance_actions(DescribePendingMaintenanceActionsMessage) -> DescribePendingMaintenanceActionsResponse => maintenance::describe_pending;
    describe_replication_instance_task_logs(DescribeReplicationInstanceTaskLogsMessage) -> DescribeReplicationInstanceTaskLogsResponse => maintenance::describe_task_logs;
    add_tags_to_resource(AddTagsToResourceMessage) -> AddTagsToResourceResponse => tags::add_to_resource;
    cancel_replication_task_assessment_run(CancelReplicationTaskAssessmentRunMessage) -> CancelReplicationTaskAssessmentRunResponse => assessments::cancel;
    delete_replication_task_assessment_run(DeleteReplicationTaskAssessmentRunMessage) -> DeleteReplicationTaskAssessmentRunResponse => assessments::delete;
    describe_applicable_individual_assessments(DescribeApplicableIndividualAssessmentsMessage) -> DescribeApplicableIndividualAssessmentsResponse => assessments::applicable;
    describe_replication_task_assessment_results(DescribeReplicationTaskAssessmentResultsMessage) -> DescribeReplicationTaskAssessmentResultsResponse => assessments::describe_results;
    describe_replication_task_assessment_runs(DescribeReplicationTaskAssessmentRunsMessage) -> DescribeReplicationTaskAssessmentRunsResponse => assessments::describe_runs;
    describe_replication_task_individual_assessments(DescribeReplicationTaskIndividualAssessmentsMessage) -> DescribeReplicationTaskIndividualAssessmentsResponse => assessments::describe_individual;
    start_replication_task_assessment(StartReplicationTaskAssessmentMessage) -> StartReplicationTaskAssessmentResponse => assessments::start_of_types;
    start_replication_task_assessment_run(StartReplicationTaskAssessmentRunMessage) -> StartReplicationTaskAssessmentRunResponse => assessments::start_run;
    create_endpoint(CreateEndpointMessage) -> CreateEndpointResponse => endpoints::create;
    create_replication_instance(CreateReplicationInstanceMessage) -> CreateReplicationInstanceResponse => instances::create;
    create_replication_subnet_group(CreateReplicationSubnetGroupMessage) -> CreateReplicationSubnetGroupResponse => subnet_groups::create;
    create_replication_task(CreateReplicationTaskMessage) -> CreateReplicationTaskResponse => tasks::create;
    delete_certificate(DeleteCertificateMessage) -> DeleteCertificateResponse => certificates::delete;
    delete_connection(DeleteConnectionMessage) -> DeleteConnectionResponse => connections::delete;
    delete_endpoint(DeleteEndpointMessage) -> DeleteEndpointResponse => endpoints::delete;
    delete_replication_instance(DeleteReplicationInstanceMessage) -> DeleteReplicationInstanceResponse => instances::delete;
    delete_replication_subnet_group(DeleteReplicationSubnetGroupMessage) -> DeleteReplicationSubnetGroupResponse => subnet_groups::delete;
    delete_replication_task(DeleteReplicationTaskMessage) -> DeleteReplicationTaskResponse => tasks::delete;
    describe_account_attributes(DescribeAccountAttributesMessage) -> DescribeAccountAttributesResponse => catalog::account_attributes;
    describe_certificates(DescribeCertificatesMessage) -> DescribeCertificatesResponse => certificates::describe;
    describe_connections(DescribeConnectionsMessage) -> DescribeConnectionsResponse => connections::describe;
    describe_endpoint_settings(DescribeEndpointSettingsMessage) -> DescribeEndpointSettingsResponse => catalog::endpoint_settings;
    describe_endpoint_types(DescribeEndpointTypesMessage) -> DescribeEndpointTypesResponse => catalog::endpoint_types;
    describe_endpoints(DescribeEndpointsMessage) -> DescribeEndpointsResponse => endpoints::describe;
    describe_engine_versions(DescribeEngineVersionsMessage) -> DescribeEngineVersionsResponse => catalog::engine_versions;
    describe_event_categories(DescribeEventCategoriesMessage) -> DescribeEventCategoriesResponse => events::describe_categories;
    describe_events(DescribeEventsMessage) -> DescribeEventsResponse => events::describe;
    describe_orderable_replication_instances(DescribeOrderableReplicationInstancesMessage) -> DescribeOrderableReplicationInstancesResponse => catalog::orderable_instances;
    describe_refresh_schemas_status(DescribeRefreshSchemasStatusMessage) -> DescribeRefreshSchemasStatusResponse => schemas::describe_status;
    describe_replication_instances(DescribeReplicationInstancesMessage) -> DescribeReplicationInstancesResponse => instances::describe;
    describe_replication_subnet_groups(DescribeReplicationSubnetGroupsMessage) -> DescribeReplicationSubnetGroupsResponse => subnet_groups::describe;
    describe_replication_tasks(DescribeReplicationTasksMessage) -> DescribeReplicationTasksResponse => tasks::describe;
    describe_schemas(DescribeSchemasMessage) -> DescribeSchemasResponse => schemas::describe;
    describe_table_statistics(DescribeTableStatisticsMessage) -> DescribeTableStatisticsResponse => table_statistics::describe;
    import_certificate(ImportCertificateMessage) -> ImportCertificateResponse => certificates::import;
    list_tags_for_resource(ListTagsForResourceMessage) -> ListTagsForResourceResponse => tags::list;
    modify_endpoint(ModifyEndpointMessage) -> ModifyEndpointResponse => endpoints::modify;
    modify_replication_instance(ModifyReplicationInstanceMessage) -> ModifyReplicationInstanceResponse => instances::modify;
    modify_replication_subnet_group(ModifyReplicationSubnetGroupMessage) -> ModifyReplicationSubnetGroupResponse => subnet_groups::modify;
    modify_replication_task(ModifyReplicationTaskMessage) -> ModifyReplicationTaskResponse => tasks::modify;
    move_replication_task(MoveReplicationTaskMessage) -> MoveReplicationTaskResponse => tasks::start_move;
    reboot_replication_instance(RebootReplicationInstanceMessage) -> RebootReplicationInstanceResponse => instances::reboot;
    refresh_schemas(RefreshSchemasMessage) -> RefreshSchemasResponse => schemas::refresh;
    reload_tables(ReloadTablesMessage) -> ReloadTablesResponse => table_statistics::reload;
    remove_tags_from_resource(RemoveTagsFromResourceMessage) -> RemoveTagsFromResourceResponse => tags::remove_from_resource;
    start_replication_task(StartReplicationTaskMessage) -> StartReplicationTaskResponse => tasks::start;
    stop_replication_task(StopReplicationTaskMessage) -> StopReplicationTaskResponse => tasks::stop;
    test_connection(TestConnectionMessage) -> TestConnectionResponse => connections::test;
}
