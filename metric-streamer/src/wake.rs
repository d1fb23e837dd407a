//! An empty group is woken by the first photo.

use fleet::AwsError;

use crate::streamer::{Group, Streamer};

impl Streamer {
    /// Ask for the workers that are needed, in an empty group with so many messages that wait. Target tracking would need three points
    /// of its metric first; here the next look is enough.
    pub(crate) async fn wake(&self, group: Group, waiting: u64, needed: f64) {
        let Some(desired) = wanted(group, needed) else { return };
        match self.set_desired(desired).await {
            Ok(()) => tracing::info!(group = self.group, desired, waiting, "the first photo wakes the fleet"),
            Err(error) => {
                metrics::counter!("streamer_failures_total").increment(1);
                fleet::log!(FIRST_WORKER_NOT_CALLED, %error, group = self.group, "photos wait, and no worker could be called; the next interval retries");
            }
        }
    }

    async fn set_desired(&self, desired: u32) -> Result<(), AwsError> {
        self.auto_scaling
            .set_desired_capacity()
            .auto_scaling_group_name(&self.group)
            .desired_capacity(i32::try_from(desired).unwrap_or(i32::MAX))
            .honor_cooldown(false)
            .send()
            .await
            .map_err(|error| AwsError::new(format!("asking for {desired} workers in {}", self.group), error))?;
        Ok(())
    }
}

/// How many workers an empty group should have, if it may have any.
fn wanted(group: Group, needed: f64) -> Option<u32> {
    // `as` saturates.
    (group.max_size > 0).then(|| (needed.ceil() as u32).clamp(1, group.max_size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_is_wanted_within_bounds() {
        let wanted = |max_size, needed| wanted(Group { in_service: 0, desired: 0, max_size }, needed);
        assert_eq!([0.0, 1.0, 3.2, 32.0].map(|needed| wanted(5, needed)), [Some(1), Some(1), Some(4), Some(5)]);
        assert_eq!(wanted(0, 1.0), None);
    }

    #[test]
    fn a_group_that_is_woken_already_is_not_empty() {
        let is_empty = |in_service, desired| Group { in_service, desired, max_size: 5 }.is_empty();
        assert!(is_empty(0, 0) && !is_empty(0, 1) && !is_empty(1, 0));
    }
}
