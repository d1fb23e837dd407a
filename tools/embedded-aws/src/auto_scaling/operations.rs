//! The operations: each reads its form, reads or changes the state, and returns the content of its result.

use super::groups::AutoScaling;
use crate::call::Call;
use crate::failure::Failure;
use crate::reply::Reply;
use crate::service::Service;
use crate::xml::Node;

mod groups;
mod hooks;
mod instances;
mod policies;

/// A header in which a caller of `SetDesiredCapacity` says why. In AWS no client can: there, the service itself changes the
/// capacity for an alarm. Here a client does, and this is how its reason reaches the activities.
pub const CAUSE_HEADER: &str = "x-embedded-aws-cause";

impl AutoScaling {
    pub(crate) fn handle(&self, call: &Call) -> Result<Reply, Failure> {
        let form = Node::from_form(&call.body);
        let form = &form;
        let result = match call.operation.as_str() {
            "CreateAutoScalingGroup" => self.create_group(form)?,
            "UpdateAutoScalingGroup" => self.update_group(form)?,
            "DeleteAutoScalingGroup" => self.delete_group(form)?,
            "DescribeAutoScalingGroups" => self.describe_groups(form),
            "DescribeAutoScalingInstances" => self.describe_instances(form),
            "SetDesiredCapacity" => self.set_desired_capacity(form, call.header(CAUSE_HEADER))?,
            "TerminateInstanceInAutoScalingGroup" => self.terminate_instance(form)?,
            "SetInstanceProtection" => self.set_instance_protection(form)?,
            "SetInstanceHealth" => self.set_instance_health(form)?,
            "PutLifecycleHook" => self.put_hook(form)?,
            "DeleteLifecycleHook" => self.delete_hook(form)?,
            "DescribeLifecycleHooks" => self.describe_hooks(form)?,
            "CompleteLifecycleAction" => self.complete_lifecycle_action(form)?,
            "RecordLifecycleActionHeartbeat" => self.record_heartbeat(form)?,
            "PutScalingPolicy" => self.put_policy(form)?,
            "DeletePolicy" => self.delete_policy(form)?,
            "DescribePolicies" => self.describe_policies(form),
            "DescribeScalingActivities" => self.describe_activities(form),
            other => return Err(Failure::unknown_operation(Service::AutoScaling, other)),
        };
        if !call.operation.starts_with("Describe") {
            self.changed();
        }
        let name = &call.operation;
        let mut body =
            format!("<{name}Response xmlns=\"http://autoscaling.amazonaws.com/doc/2011-01-01/\"><{name}Result>");
        result.write(&mut body);
        body.push_str(&format!("</{name}Result><ResponseMetadata><RequestId>"));
        body.push_str(&uuid::Uuid::now_v7().to_string());
        body.push_str(&format!("</RequestId></ResponseMetadata></{name}Response>"));
        Ok(Reply::xml(body))
    }
}
