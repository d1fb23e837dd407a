//! CloudWatch's metrics and stored alarms, in rpc-v2-cbor. Home-made because the fleet scales on these statistics.
//! Alarms are only kept and shown; the client that evaluates them sets their state.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use ciborium::Value;
use ciborium::tag::Required;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use crate::call::Call;
use crate::failure::Failure;
use crate::reply::Reply;
use crate::service::Service;
use crate::{ACCOUNT, REGION};

mod statistics;

use statistics::{Series, Statistics};

/// As long as CloudWatch keeps points of one minute.
const KEPT_FOR: i64 = 15 * 24 * 60 * 60 * 1000;
/// A compressed request may not grow beyond this.
const LARGEST_REQUEST: u64 = 16 << 20;

#[derive(Debug, Default)]
pub(crate) struct CloudWatch {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    series: BTreeMap<Metric, Series>,
    alarms: BTreeMap<String, BTreeMap<String, Value>>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Dimension {
    name: String,
    value: String,
}

/// What tells one metric from another: dimensions too, in any order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metric {
    namespace: String,
    metric_name: String,
    #[serde(default)]
    dimensions: Vec<Dimension>,
}

impl Metric {
    fn sorted(mut self) -> Self {
        self.dimensions.sort();
        self
    }
}

/// Milliseconds since the epoch; on the wire, tagged seconds.
#[derive(Debug, Clone, Copy)]
struct Timestamp(i64);

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut value = Value::deserialize(deserializer)?;
        while let Value::Tag(_, inner) = value {
            value = *inner;
        }
        match value {
            Value::Float(seconds) => Ok(Self((seconds * 1000.0).round() as i64)),
            Value::Integer(seconds) => i64::try_from(seconds).map(|s| Self(s * 1000)).map_err(serde::de::Error::custom),
            _ => Err(serde::de::Error::custom("not a timestamp")),
        }
    }
}

fn tagged(millis: i64) -> Required<f64, 1> {
    Required(millis as f64 / 1000.0)
}

fn tagged_value(millis: i64) -> Value {
    Value::Tag(1, Box::new(Value::Float(millis as f64 / 1000.0)))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutMetricData {
    namespace: String,
    #[serde(default)]
    metric_data: Vec<Datum>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Datum {
    metric_name: String,
    #[serde(default)]
    dimensions: Vec<Dimension>,
    timestamp: Option<Timestamp>,
    value: Option<f64>,
    statistic_values: Option<StatisticSet>,
    #[serde(default)]
    values: Vec<f64>,
    #[serde(default)]
    counts: Vec<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StatisticSet {
    sample_count: f64,
    sum: f64,
    minimum: f64,
    maximum: f64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetMetricStatistics {
    // Not a flattened `Metric`: serde's flattening loses the tags of CBOR.
    namespace: String,
    metric_name: String,
    #[serde(default)]
    dimensions: Vec<Dimension>,
    start_time: Timestamp,
    end_time: Timestamp,
    period: i64,
    #[serde(default)]
    statistics: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetMetricData {
    metric_data_queries: Vec<DataQuery>,
    start_time: Timestamp,
    end_time: Timestamp,
    #[serde(default)]
    scan_by: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DataQuery {
    id: String,
    label: Option<String>,
    metric_stat: Option<MetricStat>,
    return_data: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MetricStat {
    metric: Metric,
    period: i64,
    stat: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct DataResult {
    id: String,
    label: String,
    timestamps: Vec<Required<f64, 1>>,
    values: Vec<f64>,
    status_code: &'static str,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListMetrics {
    namespace: Option<String>,
    metric_name: Option<String>,
    #[serde(default)]
    dimensions: Vec<DimensionFilter>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DimensionFilter {
    name: String,
    value: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeAlarms {
    #[serde(default)]
    alarm_names: Vec<String>,
    #[serde(default)]
    alarm_name_prefix: String,
    state_value: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SetAlarmState {
    alarm_name: String,
    state_value: String,
    state_reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DeleteAlarms {
    alarm_names: Vec<String>,
}

fn invalid(message: impl Into<String>) -> Failure {
    Failure::bad("InvalidParameterValue", message)
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    ciborium::from_reader(body).map_err(|e| Failure::bad("MissingParameter", e.to_string()))
}

/// The SDK compresses a large `PutMetricData`.
fn body(call: &Call) -> Result<Vec<u8>, Failure> {
    if call.header("content-encoding") != Some("gzip") {
        return Ok(call.body.to_vec());
    }
    let mut body = Vec::new();
    flate2::read::GzDecoder::new(call.body.as_ref())
        .take(LARGEST_REQUEST)
        .read_to_end(&mut body)
        .map_err(|e| invalid(format!("The gzip body can't be read: {e}")))?;
    Ok(body)
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64
}

/// In milliseconds, if it is one that CloudWatch offers.
fn period(seconds: i64) -> Result<i64, Failure> {
    if matches!(seconds, 1 | 5 | 10 | 20 | 30) || seconds > 0 && seconds % 60 == 0 {
        return Ok(seconds * 1000);
    }
    Err(invalid(format!("The period {seconds} is not 1, 5, 10, 20, 30 or a multiple of 60.")))
}

impl CloudWatch {
    pub(crate) fn handle(&self, call: &Call) -> Result<Reply, Failure> {
        let body = body(call)?;
        let body = body.as_slice();
        match call.operation.as_str() {
            "PutMetricData" => self.put_metric_data(parse(body)?),
            "GetMetricStatistics" => self.get_metric_statistics(parse(body)?),
            "GetMetricData" => self.get_metric_data(parse(body)?),
            "ListMetrics" => Ok(self.list_metrics(parse(body)?)),
            "PutMetricAlarm" => self.put_metric_alarm(parse(body)?),
            "DescribeAlarms" => Ok(self.describe_alarms(parse(body)?)),
            "SetAlarmState" => self.set_alarm_state(parse(body)?),
            "DeleteAlarms" => Ok(self.delete_alarms(parse(body)?)),
            other => Err(Failure::unknown_operation(Service::CloudWatch, other)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All or nothing, as CloudWatch does it.
    fn put_metric_data(&self, input: PutMetricData) -> Result<Reply, Failure> {
        let now = now();
        let mut points = Vec::new();
        for datum in input.metric_data {
            let name = datum.metric_name;
            let at = datum.timestamp.map_or(now, |timestamp| timestamp.0);
            let metric =
                Metric { namespace: input.namespace.clone(), metric_name: name.clone(), dimensions: datum.dimensions };
            let metric = metric.sorted();
            if !datum.counts.is_empty() && datum.counts.len() != datum.values.len() {
                return Err(invalid(format!("{name}: Counts and Values must be of the same length.")));
            }
            let mut found: Vec<_> = datum.value.map(|value| Statistics::of(value, 1.0)).into_iter().collect();
            found.extend(datum.statistic_values.map(|set| Statistics {
                count: set.sample_count,
                sum: set.sum,
                minimum: set.minimum,
                maximum: set.maximum,
            }));
            let counts = datum.counts.into_iter().chain(std::iter::repeat(1.0));
            found.extend(datum.values.into_iter().zip(counts).map(|(value, count)| Statistics::of(value, count)));
            if found.is_empty() {
                return Err(Failure::bad("MissingParameter", format!("{name} has no value.")));
            }
            if found
                .iter()
                .any(|s| !s.sum.is_finite() || !s.minimum.is_finite() || !s.maximum.is_finite() || s.count <= 0.0)
            {
                return Err(invalid(format!(
                    "{name} has a value that is not a number, or a count that is not positive."
                )));
            }
            points.extend(found.into_iter().map(|statistics| (metric.clone(), at, statistics)));
        }
        let mut state = self.lock();
        for (metric, at, statistics) in points {
            let series = state.series.entry(metric).or_default();
            series.put(at, statistics);
            series.expire(now - KEPT_FOR);
        }
        Ok(empty())
    }

    fn get_metric_statistics(&self, input: GetMetricStatistics) -> Result<Reply, Failure> {
        let period = period(input.period)?;
        if let Some(odd) = input.statistics.iter().find(|name| Statistics::of(1.0, 1.0).get(name).is_none()) {
            return Err(invalid(format!("The statistic {odd:?} is not offered.")));
        }
        let metric =
            Metric { namespace: input.namespace, metric_name: input.metric_name, dimensions: input.dimensions }
                .sorted();
        let state = self.lock();
        let buckets = state.series.get(&metric).map(|s| s.buckets(input.start_time.0, input.end_time.0, period));
        let datapoints = buckets.unwrap_or_default().into_iter().map(|(at, statistics)| {
            let mut fields = vec![(Value::from("Timestamp"), tagged_value(at)), ("Unit".into(), "None".into())];
            let asked = input.statistics.iter();
            fields.extend(asked.filter_map(|name| Some((name.as_str().into(), statistics.get(name)?.into()))));
            Value::Map(fields)
        });
        Ok(Reply::cbor(&Value::Map(vec![
            ("Label".into(), metric.metric_name.as_str().into()),
            ("Datapoints".into(), Value::Array(datapoints.collect())),
        ])))
    }

    fn get_metric_data(&self, input: GetMetricData) -> Result<Reply, Failure> {
        let state = self.lock();
        let mut results = Vec::new();
        for query in input.metric_data_queries {
            if query.return_data == Some(false) {
                continue;
            }
            let Some(stat) = query.metric_stat else {
                return Err(Failure::bad("ValidationError", format!("{}: only MetricStat is offered here.", query.id)));
            };
            if Statistics::of(1.0, 1.0).get(&stat.stat).is_none() {
                return Err(invalid(format!("The statistic {:?} is not offered.", stat.stat)));
            }
            let period = period(stat.period)?;
            let metric = stat.metric.sorted();
            let buckets = state.series.get(&metric).map(|s| s.buckets(input.start_time.0, input.end_time.0, period));
            let mut points: Vec<_> = buckets
                .unwrap_or_default()
                .into_iter()
                .filter_map(|(at, statistics)| Some((tagged(at), statistics.get(&stat.stat)?)))
                .collect();
            if input.scan_by != "TimestampAscending" {
                points.reverse();
            }
            let (timestamps, values) = points.into_iter().unzip();
            let label = query.label.unwrap_or(metric.metric_name);
            results.push(DataResult { id: query.id, label, timestamps, values, status_code: "Complete" });
        }
        Ok(Reply::cbor(&BTreeMap::from([("MetricDataResults", results)])))
    }

    fn list_metrics(&self, input: ListMetrics) -> Reply {
        let state = self.lock();
        let has = |metric: &Metric, filter: &DimensionFilter| {
            let mut dimensions = metric.dimensions.iter();
            dimensions.any(|d| d.name == filter.name && filter.value.as_ref().is_none_or(|value| *value == d.value))
        };
        let metrics: Vec<_> = state
            .series
            .keys()
            .filter(|m| input.namespace.as_ref().is_none_or(|namespace| *namespace == m.namespace))
            .filter(|m| input.metric_name.as_ref().is_none_or(|name| *name == m.metric_name))
            .filter(|m| input.dimensions.iter().all(|filter| has(m, filter)))
            .collect();
        Reply::cbor(&BTreeMap::from([("Metrics", metrics)]))
    }

    /// Keeps the alarm as it was written; one that is changed keeps its state.
    fn put_metric_alarm(&self, mut alarm: BTreeMap<String, Value>) -> Result<Reply, Failure> {
        let Some(name) = alarm.get("AlarmName").and_then(Value::as_text).map(str::to_owned) else {
            return Err(Failure::bad("MissingParameter", "The parameter AlarmName is required."));
        };
        let now = tagged_value(now());
        let mut state = self.lock();
        alarm.remove("Tags");
        alarm.entry("ActionsEnabled".to_owned()).or_insert(true.into());
        let arn = format!("arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{name}");
        alarm.insert("AlarmArn".to_owned(), arn.into());
        alarm.insert("AlarmConfigurationUpdatedTimestamp".to_owned(), now.clone());
        let known = state.alarms.get(&name);
        for (field, fresh) in [
            ("StateValue", Value::from("INSUFFICIENT_DATA")),
            ("StateReason", "Unchecked: Initial alarm creation".into()),
            ("StateUpdatedTimestamp", now),
        ] {
            alarm.insert(field.to_owned(), known.and_then(|known| known.get(field)).cloned().unwrap_or(fresh));
        }
        state.alarms.insert(name, alarm);
        Ok(empty())
    }

    fn describe_alarms(&self, input: DescribeAlarms) -> Reply {
        let state = self.lock();
        let in_state = |alarm: &BTreeMap<String, Value>| {
            let value = alarm.get("StateValue").and_then(Value::as_text);
            input.state_value.as_deref().is_none_or(|asked| value == Some(asked))
        };
        let alarms: Vec<_> = state
            .alarms
            .iter()
            .filter(|(name, _)| input.alarm_names.is_empty() || input.alarm_names.contains(name))
            .filter(|(name, _)| name.starts_with(&input.alarm_name_prefix))
            .map(|(_, alarm)| alarm)
            .filter(|alarm| in_state(alarm))
            .collect();
        Reply::cbor(&BTreeMap::from([("MetricAlarms", alarms)]))
    }

    fn set_alarm_state(&self, input: SetAlarmState) -> Result<Reply, Failure> {
        if !matches!(input.state_value.as_str(), "OK" | "ALARM" | "INSUFFICIENT_DATA") {
            return Err(invalid(format!("{:?} is not a state of an alarm.", input.state_value)));
        }
        let mut state = self.lock();
        let alarm = state
            .alarms
            .get_mut(&input.alarm_name)
            .ok_or_else(|| Failure::new(404, "ResourceNotFound", "Unknown alarm."))?;
        alarm.insert("StateValue".to_owned(), input.state_value.into());
        alarm.insert("StateReason".to_owned(), input.state_reason.into());
        alarm.insert("StateUpdatedTimestamp".to_owned(), tagged_value(now()));
        Ok(empty())
    }

    fn delete_alarms(&self, input: DeleteAlarms) -> Reply {
        self.lock().alarms.retain(|name, _| !input.alarm_names.contains(name));
        empty()
    }
}

fn empty() -> Reply {
    Reply::cbor(&BTreeMap::<String, Value>::new())
}
