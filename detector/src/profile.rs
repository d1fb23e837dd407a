//! How long each operator of a network takes, and which of them are this crate's.

use std::time::{Duration, Instant};

use tract_onnx::prelude::*;
use tract_onnx::tract_core;

/// One operator of a network's plan.
#[derive(Clone, Debug)]
pub struct OperatorTime {
    /// The node's name in the file.
    pub name: String,
    /// What it does, such as `Convolve`.
    pub operator: String,
    /// Whether it is an operator of this crate and not one of tract's.
    pub is_own: bool,
    /// The shape of its output.
    pub shape: Vec<usize>,
    /// The median of the runs.
    pub time: Duration,
}

/// The prefix of the names of this crate's operators.
const OWN: &str = "Polybot";

/// Runs a plan `runs` times on this input; returns the operators in the order that they run.
pub(crate) fn profile(
    plan: &std::sync::Arc<TypedRunnableModel>,
    input: &TValue,
    runs: usize,
) -> TractResult<Vec<OperatorTime>> {
    let mut times: Vec<(OperatorTime, Vec<Duration>)> = Vec::new();
    for _ in 0..runs {
        let mut index = 0;
        let mut state = plan.spawn()?;
        state.run_plan_with_eval(tvec!(input.clone()), |context, op_state, node, inputs| {
            let started = Instant::now();
            let outputs = tract_core::plan::eval(context, op_state, node, inputs)?;
            let took = started.elapsed();
            if times.len() == index {
                let operator = node.op.name().to_string();
                times.push((
                    OperatorTime {
                        name: node.name.trim_end_matches(", lowered").to_owned(),
                        is_own: operator.starts_with(OWN),
                        operator: operator.trim_start_matches(OWN).to_owned(),
                        shape: outputs.first().map(|output| output.shape().to_vec()).unwrap_or_default(),
                        time: Duration::ZERO,
                    },
                    Vec::new(),
                ));
            }
            times[index].1.push(took);
            index += 1;
            TractResult::Ok(outputs)
        })?;
    }
    let median = |(operator, mut times): (OperatorTime, Vec<Duration>)| {
        times.sort_unstable();
        OperatorTime { time: times.get(times.len() / 2).copied().unwrap_or_default(), ..operator }
    };
    Ok(times.into_iter().map(median).collect())
}
