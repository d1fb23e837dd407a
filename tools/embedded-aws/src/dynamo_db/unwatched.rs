//! The tables in memory, without the copy of all of them that `winterbaume-dynamodb` takes after every call for whoever
//! may watch. Nobody does here, and with it a call takes the longer the more items there are.

use std::pin::Pin;
use std::sync::Arc;

use winterbaume_core::StateViewError;
use winterbaume_dynamodb::state::{DynamoDbError, QueryResult};
use winterbaume_dynamodb::types::{
    AttributeDefinition, Backup, ContinuousBackupsConfig, ContributorInsightsConfig, DynamoDbTag, ExportInfo,
    GlobalSecondaryIndexDef, GlobalTableInfo, ImportInfo, Item, KeySchemaElement, KinesisStreamingDestination,
    LocalSecondaryIndexDef, ProvisionedThroughput, ResourcePolicy, SortKeyCondition, StreamChangeRecord, StreamSummary,
    Table, TransactOp, TtlConfig, UpdateAction,
};
use winterbaume_dynamodb::{DynamoDbBackend, DynamodbStateView, InMemoryDynamoDbBackend};

type Answer<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Told<T> = Result<T, DynamoDbError>;

/// Passes all on but the snapshots.
pub(super) struct Unwatched(pub(super) Arc<InMemoryDynamoDbBackend>);

macro_rules! pass_on {
    ($(fn $name:ident($($argument:ident: $type:ty),* $(,)?) -> $answer:ty;)*) => {
        impl DynamoDbBackend for Unwatched {
            $(fn $name(&self, account_id: String, region: String $(, $argument: $type)*) -> Answer<$answer> {
                self.0.$name(account_id, region $(, $argument)*)
            })*

            fn scopes_with_state(&self) -> Vec<(String, String)> {
                self.0.scopes_with_state()
            }

            fn snapshot(&self, _: String, _: String) -> Answer<DynamodbStateView> {
                Box::pin(std::future::ready(DynamodbStateView::default()))
            }
        }
    };
}

pass_on! {
    fn create_table(
        name: String,
        key_schema: Vec<KeySchemaElement>,
        attribute_definitions: Vec<AttributeDefinition>,
        billing_mode: Option<String>,
        provisioned_throughput: Option<ProvisionedThroughput>,
        stream_enabled: bool,
        stream_view_type: Option<String>,
        global_secondary_indexes: Vec<GlobalSecondaryIndexDef>,
        local_secondary_indexes: Vec<LocalSecondaryIndexDef>,
    ) -> Told<Table>;
    fn delete_table(name: String) -> Told<Table>;
    fn describe_table(name: String) -> Told<Table>;
    fn list_tables() -> Told<Vec<String>>;
    fn update_table(
        name: String,
        billing_mode: Option<String>,
        provisioned_throughput: Option<ProvisionedThroughput>,
    ) -> Told<Table>;
    fn update_stream_specification(
        table_name: String,
        stream_enabled: bool,
        stream_view_type: Option<String>,
    ) -> Told<Table>;
    fn list_streams(table_name: Option<String>) -> Told<Vec<StreamSummary>>;
    fn describe_stream_by_arn(stream_arn: String) -> Told<StreamSummary>;
    fn put_item(table_name: String, item: Item) -> Told<Option<Item>>;
    fn get_item(table_name: String, key: Item) -> Told<Option<Item>>;
    fn delete_item(table_name: String, key: Item) -> Told<Option<Item>>;
    fn update_item(table_name: String, key: Item, actions: Vec<UpdateAction>) -> Told<Option<Item>>;
    fn batch_get_item(table_name: String, keys: Vec<Item>) -> Told<Vec<Item>>;
    fn batch_write_item(table_name: String, puts: Vec<Item>, deletes: Vec<Item>) -> Told<()>;
    fn query(
        table_name: String,
        key_conditions: Item,
        sort_key_condition: Option<SortKeyCondition>,
        limit: Option<usize>,
        scan_index_forward: bool,
        exclusive_start_key: Option<Item>,
        index_name: Option<String>,
    ) -> Told<QueryResult>;
    fn scan(table_name: String, limit: Option<usize>, exclusive_start_key: Option<Item>) -> Told<QueryResult>;
    fn transact_get_items(keys: Vec<(String, Item)>) -> Told<Vec<Option<Item>>>;
    fn transact_write_items(ops: Vec<TransactOp>) -> Told<()>;
    fn create_backup(table_name: String, backup_name: String) -> Told<Backup>;
    fn delete_backup(backup_arn: String) -> Told<Backup>;
    fn describe_backup(backup_arn: String) -> Told<Backup>;
    fn list_backups(table_name: Option<String>) -> Told<Vec<Backup>>;
    fn restore_table_from_backup(backup_arn: String, target_table_name: String) -> Told<Table>;
    fn restore_table_to_point_in_time(source_table_name: String, target_table_name: String) -> Told<Table>;
    fn tag_resource(resource_arn: String, tags: Vec<DynamoDbTag>) -> Told<()>;
    fn untag_resource(resource_arn: String, tag_keys: Vec<String>) -> Told<()>;
    fn list_tags_of_resource(resource_arn: String) -> Told<Vec<DynamoDbTag>>;
    fn update_time_to_live(table_name: String, attribute_name: String, enabled: bool) -> Told<TtlConfig>;
    fn describe_time_to_live(table_name: String) -> Told<Option<TtlConfig>>;
    fn update_continuous_backups(table_name: String, enabled: bool) -> Told<ContinuousBackupsConfig>;
    fn describe_continuous_backups(table_name: String) -> Told<Option<ContinuousBackupsConfig>>;
    fn put_resource_policy(resource_arn: String, policy: String) -> Told<String>;
    fn get_resource_policy(resource_arn: String) -> Told<Option<ResourcePolicy>>;
    fn delete_resource_policy(resource_arn: String) -> Told<String>;
    fn create_global_table(global_table_name: String, replication_group: Vec<String>) -> Told<GlobalTableInfo>;
    fn describe_global_table(global_table_name: String) -> Told<GlobalTableInfo>;
    fn update_global_table(
        global_table_name: String,
        replicas_to_create: Vec<String>,
        replicas_to_delete: Vec<String>,
    ) -> Told<GlobalTableInfo>;
    fn list_global_tables() -> Told<Vec<GlobalTableInfo>>;
    fn enable_kinesis_streaming_destination(
        table_name: String,
        stream_arn: String,
        precision: Option<String>,
    ) -> Told<KinesisStreamingDestination>;
    fn disable_kinesis_streaming_destination(
        table_name: String,
        stream_arn: String,
    ) -> Told<KinesisStreamingDestination>;
    fn describe_kinesis_streaming_destinations(table_name: String) -> Told<Vec<KinesisStreamingDestination>>;
    fn update_kinesis_streaming_destination(
        table_name: String,
        stream_arn: String,
        precision: Option<String>,
    ) -> Told<KinesisStreamingDestination>;
    fn update_contributor_insights(
        table_name: String,
        index_name: Option<String>,
        mode: String,
    ) -> Told<ContributorInsightsConfig>;
    fn describe_contributor_insights(
        table_name: String,
        index_name: Option<String>,
    ) -> Told<Option<ContributorInsightsConfig>>;
    fn list_contributor_insights(table_name: Option<String>) -> Told<Vec<ContributorInsightsConfig>>;
    fn export_table_to_point_in_time(
        table_arn: String,
        s3_bucket: Option<String>,
        s3_prefix: Option<String>,
        export_format: Option<String>,
    ) -> Told<ExportInfo>;
    fn describe_export(export_arn: String) -> Told<ExportInfo>;
    fn list_exports() -> Vec<ExportInfo>;
    fn import_table(table_name: String, s3_bucket_source: Option<String>, input_format: Option<String>) -> ImportInfo;
    fn describe_import(import_arn: String) -> Told<ImportInfo>;
    fn list_imports() -> Vec<ImportInfo>;
    fn get_stream_records(
        stream_arn: String,
        next_sequence_number: u64,
        limit: Option<usize>,
    ) -> Told<(Vec<StreamChangeRecord>, u64)>;
    fn restore(view: DynamodbStateView) -> Result<(), StateViewError>;
    fn merge(view: DynamodbStateView) -> Result<(), StateViewError>;
}
