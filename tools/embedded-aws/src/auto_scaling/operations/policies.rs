//! Operations on scaling policies.

use crate::auto_scaling::groups::AutoScaling;
use crate::auto_scaling::wire::{group_mut, invalid, required};
use crate::failure::Failure;
use crate::xml::Node;
use crate::{ACCOUNT, REGION};

impl AutoScaling {
    pub(super) fn put_policy(&self, form: &Node) -> Result<Node, Failure> {
        let name = required(form, "PolicyName")?.to_owned();
        let mut state = self.lock();
        let group = group_mut(&mut state, form)?.name.clone();
        let arn = format!(
            "arn:aws:autoscaling:{REGION}:{ACCOUNT}:scalingPolicy:00000000:autoScalingGroupName/{group}:policyName/{name}"
        );
        let mut policy = form.clone();
        if let Node::Map(fields) = &mut policy {
            fields.remove("Action");
            fields.remove("Version");
        }
        if form.text("PolicyType").is_none() {
            policy.set("PolicyType", "SimpleScaling");
        }
        if form.text("Enabled").is_none() {
            policy.set("Enabled", true);
        }
        let mut alarms = Node::List(Vec::new());
        if form.text("PolicyType") == Some("TargetTrackingScaling") {
            let tracking = form
                .get("TargetTrackingConfiguration")
                .ok_or_else(|| invalid("TargetTrackingConfiguration is required."))?;
            let target = tracking.text("TargetValue").and_then(|text| text.parse::<f64>().ok());
            if !target.is_some_and(|target| target > 0.0) {
                return Err(invalid("TargetValue must be a number greater than 0."));
            }
            // AWS makes two alarms for such a policy; their names tell which.
            alarms = ["AlarmHigh", "AlarmLow"]
                .map(|kind| {
                    let alarm = format!("TargetTracking-{group}-{kind}-{name}");
                    let arn = format!("arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{alarm}");
                    Node::map().with("AlarmName", alarm).with("AlarmARN", arn)
                })
                .into_iter()
                .collect();
        }
        policy.set("PolicyARN", &arn).set("Alarms", alarms.clone());
        state.policies.insert((group, name), policy);
        Ok(Node::map().with("PolicyARN", arn).with("Alarms", alarms))
    }

    pub(super) fn delete_policy(&self, form: &Node) -> Result<Node, Failure> {
        let name = required(form, "PolicyName")?;
        let mut state = self.lock();
        let before = state.policies.len();
        state.policies.retain(|(group, policy), shown| {
            let named = policy == name || shown.text("PolicyARN") == Some(name);
            !(named && form.text("AutoScalingGroupName").is_none_or(|asked| asked == group))
        });
        if state.policies.len() == before {
            return Err(invalid(format!("No scaling policy {name:?} found")));
        }
        Ok(Node::map())
    }

    pub(super) fn describe_policies(&self, form: &Node) -> Node {
        let (names, types) = (form.texts("PolicyNames"), form.texts("PolicyTypes"));
        let state = self.lock();
        let asked = state.policies.iter().filter(|((group, name), policy)| {
            form.text("AutoScalingGroupName").is_none_or(|asked| asked == group)
                && (names.is_empty() || names.contains(&name.as_str()))
                && (types.is_empty() || policy.text("PolicyType").is_some_and(|kind| types.contains(&kind)))
        });
        Node::map().with("ScalingPolicies", asked.map(|(_, policy)| policy.clone()).collect::<Node>())
    }
}
