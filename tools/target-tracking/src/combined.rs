//! Several policies on one group.

use crate::CapacityChange;

/// What one of several policies asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vote {
    /// Its change, if it asks for any.
    pub scaling: Option<CapacityChange>,
    /// Whether it is asked about scaling in: a policy whose scale-in is disabled, and one that only adds, are not.
    pub has_scale_in: bool,
}

/// What a group with these policies does: it scales out for whichever wants most, and in only if all that are asked
/// agree, as far as the most careful of them goes.
///
/// As "Target tracking scaling policies" and "How dynamic scaling policies work" (EC2 Auto Scaling user guide) tell.
#[must_use]
pub fn combined(votes: impl IntoIterator<Item = Vote>) -> Option<CapacityChange> {
    let (mut most, mut fewest) = (None, None);
    let mut all_agree = true;
    for vote in votes {
        match vote.scaling {
            Some(CapacityChange::Out(desired)) => most = most.max(Some(desired)),
            Some(CapacityChange::In(desired)) => fewest = fewest.max(Some(desired)),
            None => all_agree &= !vote.has_scale_in,
        }
    }
    match (most, fewest) {
        (Some(desired), _) => Some(CapacityChange::Out(desired)),
        (None, Some(desired)) if all_agree => Some(CapacityChange::In(desired)),
        (None, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vote(scaling: Option<CapacityChange>) -> Vote {
        Vote { scaling, has_scale_in: true }
    }

    /// The documentation's example: one policy adds one instance, another doubles; the larger is done.
    #[test]
    fn the_largest_wins() {
        let votes = [vote(Some(CapacityChange::Out(11))), vote(Some(CapacityChange::Out(20))), vote(None)];
        assert_eq!(combined(votes), Some(CapacityChange::Out(20)));
        assert_eq!(
            combined([vote(Some(CapacityChange::In(3))), vote(Some(CapacityChange::Out(9)))]),
            Some(CapacityChange::Out(9))
        );
    }

    #[test]
    fn in_only_if_all_agree_and_as_far_as_the_most_careful() {
        assert_eq!(
            combined([vote(Some(CapacityChange::In(2))), vote(Some(CapacityChange::In(5)))]),
            Some(CapacityChange::In(5))
        );
        assert_eq!(combined([vote(Some(CapacityChange::In(2))), vote(None)]), None);
        let out_only = Vote { scaling: None, has_scale_in: false };
        assert_eq!(combined([vote(Some(CapacityChange::In(2))), out_only]), Some(CapacityChange::In(2)));
        assert_eq!(combined([]), None);
        assert_eq!(combined([out_only]), None);
    }
}
