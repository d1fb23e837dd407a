//! The arithmetic.

use fleet::queue::Depth;

/// What one look at the queue and the group found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backlog {
    /// The queue.
    pub(crate) depth: Depth,
    /// Instances of the group that are InService.
    pub(crate) in_service: usize,
}

impl Backlog {
    /// Visible messages per InService instance. The divisor is never below 1: an empty fleet with a backlog still shows
    /// the backlog, or it would never be scaled out.
    ///
    /// As AWS's "Scaling based on Amazon SQS" defines backlog per instance.
    #[must_use]
    pub(crate) fn per_instance(&self) -> f64 {
        self.depth.visible as f64 / self.in_service.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backlog(visible: u64, in_service: usize) -> Backlog {
        Backlog { depth: Depth { visible, in_flight: 3 }, in_service }
    }

    #[test]
    fn messages_are_shared_among_instances() {
        // The worked example of AWS's documentation: 1500 messages, 10 instances.
        assert_eq!(backlog(1500, 10).per_instance(), 150.0);
        assert_eq!(backlog(1, 4).per_instance(), 0.25);
        assert_eq!(backlog(0, 4).per_instance(), 0.0);
    }

    #[test]
    fn an_empty_fleet_still_shows_the_backlog() {
        assert_eq!(backlog(70, 0).per_instance(), 70.0);
        assert_eq!(backlog(0, 0).per_instance(), 0.0);
    }
}
