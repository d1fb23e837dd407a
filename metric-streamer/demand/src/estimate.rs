//! From looks to the workers needed.

use std::collections::VecDeque;

use crate::{DemandSettings, Look, Work, Worked};

/// So many photos tell a rate well enough: arrivals that are independent of each other vary by a twentieth of it.
const ENOUGH_PHOTOS: f64 = 400.0;
/// So many standard deviations of a Poisson number are chance; what differs by more is another load.
const MOST_CHANCE: f64 = 3.0;
/// While no photo was measured, the demand is at most this many times the workers in service.
const MOST_UNMEASURED: f64 = 2.0;
/// What is needed at least while the fleet is not idle: any rest of a worker is one, since target tracking rounds up.
const A_REST: f64 = 0.01;
/// So many stretches of time are the last ones: reports may come late.
const LATEST: usize = 3;
/// For comparing moments that were added up.
const INSTANT: f64 = 1e-6;

/// What one look tells, in the light of those before.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// `WorkerDemand`: workers needed in percent of those in service; while none is in service, in percent of one.
    pub percent: f64,
    /// Workers needed: those that keep up, and those that work off what waits.
    pub needed: f64,
    /// Photos that arrive in a second.
    pub arrivals: f64,
    /// How long a photo keeps a slot, in seconds; `None` while nothing was measured.
    pub seconds_per_photo: Option<f64>,
    /// Slots of one worker.
    pub slots_per_worker: f64,
    /// Slots at work, on average.
    pub busy_slots: f64,
}

impl Estimate {
    /// The least that a metric shows by which the fleet is scaled: more than nothing while the last worker is to stay.
    #[must_use]
    pub fn rest(&self) -> f64 {
        self.needed.min(A_REST)
    }

    /// Workers that keep up with what arrives, whatever waits.
    #[must_use]
    pub fn keeping_up(&self) -> f64 {
        self.arrivals * self.seconds_per_photo.unwrap_or(0.0) / self.slots_per_worker.max(1.0)
    }
}

/// Remembers what is needed of earlier looks, and what workers did.
#[derive(Clone, Debug)]
pub struct Estimator {
    settings: DemandSettings,
    /// When how many messages were there, waiting or in flight; the oldest first.
    depths: VecDeque<(f64, f64)>,
    /// The oldest first.
    worked: VecDeque<Worked>,
    seconds_per_photo: Option<f64>,
    slots_per_worker: f64,
    /// When something was last there or arrived; at first, when the first look was.
    last_needed: Option<f64>,
}

impl Estimator {
    /// One that has seen nothing yet.
    #[must_use]
    pub fn new(settings: DemandSettings) -> Self {
        Self {
            settings,
            depths: VecDeque::new(),
            worked: VecDeque::new(),
            seconds_per_photo: None,
            slots_per_worker: 1.0,
            last_needed: None,
        }
    }

    /// Whether it was told of a worker in the last stretches of time.
    #[must_use]
    pub fn knows_of_workers(&self) -> bool {
        self.worked.iter().rev().take(LATEST).any(|worked| worked.work.slots > 0.0)
    }

    /// Until when it was told what workers did; `None` before the first report.
    #[must_use]
    pub fn worked_until(&self) -> Option<f64> {
        self.worked.back().map(|worked| worked.until)
    }

    /// What workers did, in the order in which it ended. What is not told counts as nothing done; what is told again, with all that
    /// came after it, replaces what was told before.
    pub fn worked(&mut self, worked: Worked) {
        while self.worked.back().is_some_and(|last| last.until > worked.until - INSTANT) {
            self.worked.pop_back();
        }
        self.worked.push_back(worked);
        let longest = self.settings.longest_window.as_secs_f64();
        while self.worked.front().is_some_and(|first| first.until < worked.until - longest + INSTANT) {
            self.worked.pop_front();
        }
    }

    /// What this look tells.
    pub fn look(&mut self, look: &Look) -> Estimate {
        let depth = (look.visible + look.in_flight) as f64;
        self.depths.push_back((look.at, depth));
        let longest = self.settings.longest_window.as_secs_f64();
        while self.depths.front().is_some_and(|(at, _)| *at < look.at - longest - INSTANT) {
            self.depths.pop_front();
        }
        let window = self.window(look.at, depth);
        // By turns: what failed and will be retried kept slots busy, but is not a finished photo.
        if window.work.turns > 0.0 && window.work.busy > 0.0 {
            self.seconds_per_photo = Some(window.work.busy / window.work.turns);
        }
        if window.work.workers > 0.0 && window.work.slots > 0.0 {
            self.slots_per_worker = window.work.slots / window.work.workers;
        }
        let slots = match self.seconds_per_photo {
            Some(per_photo) => {
                // Nobody can work a photo off in less time than it takes.
                let promise = self.settings.promise.as_secs_f64().max(per_photo);
                window.arrivals * per_photo + look.visible as f64 * per_photo / promise
            }
            // A utilisation: all that is there, waiting or at work, within reason.
            None => depth.min(MOST_UNMEASURED * f64::from(look.in_service.max(1)) * self.slots_per_worker),
        };
        let mut needed = slots / self.slots_per_worker;
        if look.in_service == 0 && depth > 0.0 {
            // There is no worker that could work anything off.
            needed = needed.max(1.0);
        }
        if needed > 0.0 || depth > 0.0 || self.last_needed.is_none() {
            self.last_needed = Some(look.at);
        }
        let idle = self.last_needed.map_or(0.0, |last| look.at - last);
        if idle < self.settings.idle_before_zero.as_secs_f64() {
            needed = needed.max(A_REST);
        }
        Estimate {
            percent: 100.0 * needed / f64::from(look.in_service.max(1)),
            needed,
            arrivals: window.arrivals,
            seconds_per_photo: self.seconds_per_photo,
            slots_per_worker: self.slots_per_worker,
            busy_slots: if window.seconds > 0.0 { window.work.busy / window.seconds } else { 0.0 },
        }
    }

    /// The shortest stretch of time that tells the rate of arrivals well enough; and none that reaches back to when the load
    /// was another one.
    fn window(&self, now: f64, depth: f64) -> Window {
        let shortest = self.settings.shortest_window.as_secs_f64();
        let (mut seconds, mut work, mut found) = (0.0, Work::default(), Window::default());
        let mut latest: Option<Window> = None;
        for worked in self.worked.iter().rev() {
            seconds += worked.seconds;
            work += worked.work;
            let arrived = work.photos / seconds.max(INSTANT) + self.growth(now, depth, seconds);
            let longer = Window { seconds, work, arrivals: arrived.max(0.0) };
            if latest.is_some_and(|latest| latest.differs_from(&longer)) {
                return found;
            }
            found = longer;
            if seconds >= shortest - INSTANT {
                latest = latest.or(Some(found));
                if found.arrivals * seconds >= ENOUGH_PHOTOS {
                    return found;
                }
            }
        }
        if self.worked.is_empty() {
            found.arrivals = self.growth(now, depth, shortest).max(0.0);
        }
        found
    }

    /// By how many messages a second more there are, waiting or in flight, than so many seconds ago.
    fn growth(&self, now: f64, depth: f64, seconds: f64) -> f64 {
        // The look that is nearest.
        let away = |at: f64| (now - at - seconds).abs();
        let then = self.depths.iter().min_by(|(one, _), (other, _)| away(*one).total_cmp(&away(*other)));
        match then {
            Some((at, before)) if now - at > INSTANT => (depth - before) / (now - at),
            Some(_) | None => 0.0,
        }
    }
}

/// What was seen in a stretch of time.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    seconds: f64,
    work: Work,
    arrivals: f64,
}

impl Window {
    /// Whether this stretch has more or fewer photos than chance makes, if the load were that of the longer one.
    fn differs_from(&self, longer: &Self) -> bool {
        let expected = longer.arrivals * self.seconds;
        (self.arrivals * self.seconds - expected).abs() > MOST_CHANCE * expected.max(1.0).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten seconds of a fleet: what it did, and what is there at their end.
    struct Ten {
        photos: f64,
        busy: f64,
        slots: f64,
        workers: f64,
        visible: u64,
        in_flight: u64,
        in_service: u32,
    }

    fn last(estimator: &mut Estimator, from: u32, tens: &[Ten]) -> Estimate {
        let mut estimate = Estimate::default();
        for (number, ten) in (from..).zip(tens) {
            let until = f64::from(number + 1) * 10.0;
            let work = Work {
                photos: ten.photos,
                turns: ten.photos,
                busy: ten.busy,
                slots: ten.slots * 10.0,
                workers: ten.workers * 10.0,
            };
            estimator.worked(Worked { until, seconds: 10.0, work });
            let (visible, in_flight, in_service) = (ten.visible, ten.in_flight, ten.in_service);
            estimate = estimator.look(&Look { at: until, visible, in_flight, in_service });
        }
        estimate
    }

    /// Four workers of two slots; 20 photos a second take 0.15 s each: three slots are busy, 1.5 workers needed.
    fn calm() -> Ten {
        Ten { photos: 200.0, busy: 30.0, slots: 8.0, workers: 4.0, visible: 0, in_flight: 3, in_service: 4 }
    }

    fn near(one: f64, other: f64) -> bool {
        (one - other).abs() < 1e-6
    }

    #[test]
    fn while_nothing_waits_the_busy_slots_say_what_is_needed() {
        let mut estimator = Estimator::new(DemandSettings::default());
        let found = last(&mut estimator, 0, &[calm(), calm(), calm()]);
        assert!(near(found.needed, 1.5) && near(found.percent, 37.5), "{found:?}");
        assert!(near(found.arrivals, 20.0) && near(found.busy_slots, 3.0), "{found:?}");
        assert_eq!((found.seconds_per_photo, found.slots_per_worker), (Some(0.15), 2.0));
    }

    #[test]
    fn a_worker_that_is_busy_all_the_time_does_not_hide_what_arrives() {
        let mut estimator = Estimator::new(DemandSettings::default());
        // One worker does 13.33 a second of the 40 that arrive.
        let full = |visible| Ten {
            photos: 133.333_333,
            busy: 20.0,
            slots: 2.0,
            workers: 1.0,
            visible,
            in_flight: 4,
            in_service: 1,
        };
        let found = last(&mut estimator, 0, &[full(0), full(267), full(533), full(800)]);
        // 40 a second take 6 slots, and 800 photos within 10 s another 12: 9 workers.
        assert!((found.arrivals - 40.0).abs() < 0.1 && (found.needed - 9.0).abs() < 0.05, "{found:?}");
        assert!((found.percent - 900.0).abs() < 5.0, "{found:?}");
    }

    #[test]
    fn what_is_worked_off_is_no_arrival() {
        let mut estimator = Estimator::new(DemandSettings::default());
        let draining =
            |visible| Ten { photos: 400.0, busy: 60.0, slots: 8.0, workers: 4.0, visible, in_flight: 8, in_service: 4 };
        let found = last(&mut estimator, 0, &[draining(900), draining(700), draining(500), draining(300)]);
        assert!(near(found.arrivals, 20.0), "{found:?}");
    }

    #[test]
    fn a_faster_worker_and_one_with_more_slots_count_for_what_they_do() {
        let mut estimator = Estimator::new(DemandSettings::default());
        // A worker of two slots at 0.2 s, and one of eight at 0.1 s: 10 + 80 photos a second, all of them busy.
        let both =
            Ten { photos: 900.0, busy: 100.0, slots: 10.0, workers: 2.0, visible: 0, in_flight: 10, in_service: 2 };
        let found = last(&mut estimator, 0, &[Ten { ..both }, Ten { ..both }, both]);
        assert!(near(found.percent, 100.0) && near(found.needed, 2.0), "{found:?}");
    }

    #[test]
    fn what_fails_and_is_tried_again_makes_no_photo_longer() {
        let mut estimator = Estimator::new(DemandSettings::default());
        for number in 1..=3 {
            // Nine of ten results could not be stored.
            let work = Work { photos: 20.0, turns: 200.0, busy: 30.0, slots: 80.0, workers: 40.0 };
            estimator.worked(Worked { until: f64::from(number) * 10.0, seconds: 10.0, work });
        }
        let found = estimator.look(&Look { at: 30.0, visible: 100, in_flight: 8, in_service: 4 });
        assert!(near(found.seconds_per_photo.unwrap_or_default(), 0.15), "{found:?}");
    }

    #[test]
    fn a_report_that_comes_late_replaces_what_was_read_before_it() {
        let (mut in_time, mut late) =
            (Estimator::new(DemandSettings::default()), Estimator::new(DemandSettings::default()));
        let worked = |number: u32, photos| {
            let work = Work { photos, turns: photos, busy: photos * 0.15, slots: 20.0, workers: 10.0 };
            Worked { until: f64::from(number) * 10.0, seconds: 10.0, work }
        };
        for number in 1..=4 {
            in_time.worked(worked(number, 50.0));
            // It sees half of each stretch at first, and all of it at the next look.
            if number > 1 {
                late.worked(worked(number - 1, 50.0));
            }
            late.worked(worked(number, if number == 4 { 50.0 } else { 25.0 }));
        }
        let look = Look { at: 40.0, visible: 0, in_flight: 1, in_service: 1 };
        assert_eq!(late.look(&look), in_time.look(&look));
    }

    #[test]
    fn few_photos_are_averaged_over_longer() {
        let mut estimator = Estimator::new(DemandSettings::default());
        // One photo a second on average, by turns none and two: 30 s of them would be 0.67 or 1.33.
        let some =
            |photos| Ten { photos, busy: photos, slots: 2.0, workers: 1.0, visible: 0, in_flight: 1, in_service: 1 };
        let tens: Vec<Ten> = (0..31).map(|number| some(if number % 2 == 0 { 0.0 } else { 20.0 })).collect();
        let found = last(&mut estimator, 0, &tens);
        assert!((found.arrivals - 1.0).abs() < 0.1, "{found:?}");
    }

    #[test]
    fn another_load_is_not_averaged_with_the_one_before() {
        let mut estimator = Estimator::new(DemandSettings::default());
        let some = |photos| Ten {
            photos,
            busy: photos / 10.0,
            slots: 2.0,
            workers: 1.0,
            visible: 0,
            in_flight: 0,
            in_service: 1,
        };
        // Two a second for five minutes, then eight: both too few for 20 s to be enough.
        let tens: Vec<Ten> = (0..30).map(|_| some(20.0)).chain([some(80.0), some(80.0)]).collect();
        let found = last(&mut estimator, 0, &tens);
        assert!(near(found.arrivals, 8.0), "{found:?}");
    }

    #[test]
    fn what_was_not_measured_yet_asks_for_twice_what_is_there_at_most() {
        let mut estimator = Estimator::new(DemandSettings::default());
        let look = |at, visible, in_service| Look { at, visible, in_flight: 0, in_service };
        assert!(near(estimator.look(&look(0.0, 1, 0)).percent, 100.0));
        assert!(near(estimator.look(&look(10.0, 500, 0)).percent, 200.0));
        assert!(near(estimator.look(&look(20.0, 500, 3)).percent, 200.0));
        assert!(estimator.look(&look(30.0, 0, 3)).percent < 1.0);
        // Once measured it is remembered, when nothing was done for long, too.
        last(&mut estimator, 3, &[calm()]);
        for number in 5..60 {
            estimator.worked(Worked { until: f64::from(number) * 10.0, seconds: 10.0, work: Work::default() });
        }
        let found = estimator.look(&look(600.0, 100, 1));
        assert_eq!((found.seconds_per_photo, found.slots_per_worker), (Some(0.15), 2.0));
        // 0.75 workers work the 100 off in time.
        assert!(found.needed > 0.74 && found.needed < 1.6, "{found:?}");
    }

    #[test]
    fn the_last_worker_is_needed_until_nothing_came_for_long() {
        let mut estimator = Estimator::new(DemandSettings::default());
        last(&mut estimator, 0, &[calm()]);
        let mut look = |at: f64, visible| {
            estimator.worked(Worked { until: at, seconds: 10.0, work: Work::default() });
            estimator.look(&Look { at, visible, in_flight: 0, in_service: u32::from(at < 2000.0) }).needed
        };
        let idle: Vec<bool> = (2..130).map(|number| look(f64::from(number) * 10.0, 0) == 0.0).collect();
        let since = idle.iter().position(|idle| *idle).expect("idle at last");
        // A quarter of an hour after the last photo was forgotten.
        assert!((88..=93).contains(&since), "{since}");
        assert!(idle[since..].iter().all(|idle| *idle));
        // Without a worker, one photo asks for one.
        assert!(look(2000.0, 1) >= 1.0);
    }

    #[test]
    fn without_any_report_it_goes_by_what_is_there() {
        let mut estimator = Estimator::new(DemandSettings::default());
        let found = estimator.look(&Look { at: 0.0, visible: 1, in_flight: 1, in_service: 4 });
        assert!(near(found.percent, 50.0), "{found:?}");
        assert_eq!(found.seconds_per_photo, None);
        assert_eq!(estimator.worked_until(), None);
    }
}
