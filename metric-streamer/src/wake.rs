//! An empty group is woken by the first photo.

use fleet::AwsError;

use crate::streamer::{Published, Streamer};

impl Streamer {
    /// Ask for workers where there are none and something waits. Target tracking would need three points of its metric first;
    /// here the next look is enough.
    pub(crate) async fn wake(&self, published: &Published) {
        let Some(desired) = wanted(published) else { return };
        match self.set_desired(desired).await {
            Ok(()) => {
                tracing::info!(desired, waiting = published.backlog.depth.visible, "the first photo wakes the fleet")
            }
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

/// How many workers an empty group should have, if any.
fn wanted(published: &Published) -> Option<u32> {
    let Published { backlog, estimate, group } = published;
    let is_empty = group.desired == 0 && group.in_service == 0 && group.max_size > 0;
    // `as` saturates.
    (is_empty && backlog.depth.visible > 0).then(|| (estimate.needed.ceil() as u32).clamp(1, group.max_size))
}

#[cfg(test)]
mod tests {
    use demand::Estimate;
    use fleet::queue::Depth;

    use super::*;
    use crate::backlog::Backlog;
    use crate::streamer::Group;

    #[test]
    fn only_an_empty_group_is_woken_and_only_by_what_waits() {
        let published = |visible, desired, needed| Published {
            backlog: Backlog { depth: Depth { visible, in_flight: 0 }, in_service: 0 },
            estimate: Estimate { needed, ..Estimate::default() },
            group: Group { in_service: 0, desired, max_size: 5 },
        };
        assert_eq!(wanted(&published(1, 0, 1.0)), Some(1));
        assert_eq!(wanted(&published(900, 0, 3.2)), Some(4));
        assert_eq!(wanted(&published(900, 0, 32.0)), Some(5));
        assert_eq!(wanted(&published(0, 0, 1.0)), None);
        assert_eq!(wanted(&published(900, 1, 3.2)), None, "it is woken already");
    }
}
