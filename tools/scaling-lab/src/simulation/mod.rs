//! The simulation: discrete events, photo by photo.
//!
//! Two kinds of event are as many as photos and have a place of their own: the next arrival, and a heap of small structs
//! with the ends of detections. All others lie in the agenda. The policies are looked at only when a period of their
//! alarms ends.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use demand::{Estimate, Estimator, Work, Worked};
use fastrand::Rng;
use load::{Arrivals, Rate};
use target_tracking::{Capacity, Phase};

use crate::distribution::exponential;
use crate::metric::Observation;
use crate::setting::{Scaling, Setting};
use crate::time::{Nanos, SECOND, in_seconds, nanos};
use crate::{LabError, Load, Outcome};

mod agenda;
mod books;
mod policies;
mod workers;

use agenda::{Agenda, Event};
use books::{Books, Level, SinceLook};
use policies::Policies;
use workers::{Held, Photo, State, WorkerId, Workers};

/// So many slices has the timeline of a load.
const SLICES: u32 = 300;
/// None is shorter than this.
const SHORTEST_SLICE: Nanos = SECOND / 2;
const HOUR: Nanos = 3600 * SECOND;
const DAY: Nanos = 24 * HOUR;
/// A thread's number with this bit is a worker's place: it has stored a photo and has room for another one.
const STORED: u32 = 1 << 31;

/// How a simulation is run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Run {
    /// The same seed gives the same result.
    pub seed: u64,
    /// Photos sent before this are simulated and not counted, nor is what the fleet costs till then.
    pub from: Duration,
    /// The longest to wait for answers after the last arrival.
    pub patience: Duration,
}

impl Default for Run {
    fn default() -> Self {
        Self { seed: 1, from: Duration::ZERO, patience: Duration::from_secs(6 * 3600) }
    }
}

/// Simulate this fleet under this load.
///
/// # Errors
/// If the setting or the load makes no sense.
pub fn simulate(setting: &Setting, load: &Load, run: Run) -> Result<Outcome, LabError> {
    setting.check()?;
    let Some(rate) = Rate::of(&load.shape)? else {
        return Err(LabError::setting("a count has no rate; give the lab jobs a second over time"));
    };
    if run.from >= rate.end() {
        let (from, end) = (run.from.as_secs_f64(), rate.end().as_secs_f64());
        return Err(LabError::setting(format!("counting begins at {from} s, when the load of {end} s is over")));
    }
    let arrivals = Arrivals::of(&load.shape, load.spacing, run.seed)?;
    Ok(Simulation::new(setting, arrivals, nanos(rate.end()), run).run())
}

/// When a thread is done, or a photo is stored. Small, since there are as many as photos.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ending {
    at: Nanos,
    /// A thread's number; or, with the bit [`STORED`], a worker's place.
    thread: u32,
    /// The worker's. What was for another one that had its place is void.
    generation: u32,
}

struct Simulation<'a> {
    setting: &'a Setting,
    run: Run,
    now: Nanos,
    end: Nanos,
    arrivals: Arrivals,
    next_arrival: Nanos,
    queue: VecDeque<Photo>,
    workers: Workers,
    endings: BinaryHeap<Reverse<Ending>>,
    agenda: Agenda,
    policies: Policies,
    books: Books,
    /// For what happens to each photo.
    random: Rng,
    /// For what happens to instances: apart, so that the same photos take the same time whatever scales the fleet.
    chance: Rng,
    min: u32,
    desired: u32,
    /// Instances that boot or are in service.
    staying: u32,
    on_demand: u32,
    in_service: u32,
    no_spot: bool,
    last_look: Nanos,
    estimator: Estimator,
    slice: Nanos,
    /// Messages that one worker holds at most.
    capacity: u32,
    fetch: Nanos,
    store: Nanos,
    at_once: Option<bool>,
    events: u64,
}

impl<'a> Simulation<'a> {
    fn new(setting: &'a Setting, arrivals: Arrivals, end: Nanos, run: Run) -> Self {
        let policies = match &setting.scaling {
            Scaling::TargetTracking(policies) => policies.as_slice(),
            Scaling::Fixed | Scaling::AtOnce { .. } => &[],
        };
        let at_once = match setting.scaling {
            Scaling::AtOnce { one_at_a_time } => Some(one_at_a_time),
            Scaling::Fixed | Scaling::TargetTracking(_) => None,
        };
        let publishing = &setting.publishing;
        let behind = nanos(publishing.delay) / nanos(publishing.period).max(1);
        let books = Books::new(nanos(run.from), nanos(setting.promise), policies.len());
        Self {
            setting,
            run,
            now: 0,
            end,
            arrivals,
            next_arrival: Nanos::MAX,
            queue: VecDeque::new(),
            workers: Workers::new(setting.worker.threads),
            endings: BinaryHeap::new(),
            agenda: Agenda::default(),
            policies: Policies::new(policies, behind, setting.publishing.minute),
            books,
            random: Rng::with_seed(run.seed ^ 0x5eed_0000_9407_0500),
            chance: Rng::with_seed(run.seed ^ 0x5eed_0000_f1ee_7000),
            min: setting.group.min,
            desired: 0,
            staying: 0,
            on_demand: 0,
            in_service: 0,
            no_spot: false,
            last_look: 0,
            estimator: Estimator::new(setting.demand()),
            slice: (end / u64::from(SLICES)).max(SHORTEST_SLICE),
            capacity: setting.worker.threads * setting.worker.held_per_thread,
            fetch: nanos(setting.worker.fetch),
            store: nanos(setting.worker.store),
            at_once,
            events: 0,
        }
    }

    fn run(mut self) -> Outcome {
        self.begin();
        let deadline = self.end.saturating_add(nanos(self.run.patience));
        loop {
            let ending = self.endings.peek().map_or(Nanos::MAX, |Reverse(ending)| ending.at);
            let planned = self.agenda.next_at();
            let at = ending.min(planned).min(self.next_arrival);
            let is_idle = self.next_arrival == Nanos::MAX && self.books.in_system() == 0;
            if (is_idle && at > self.end) || at > deadline {
                break;
            }
            self.books.advance(at);
            self.now = at;
            self.events += 1;
            if at == planned {
                if let Some(event) = self.agenda.take() {
                    self.happen(event);
                }
            } else if at == ending {
                self.ending();
            } else {
                self.arrive();
            }
        }
        let last = if self.books.in_system() == 0 { self.end.max(self.now) } else { deadline };
        self.books.advance(last);
        self.now = last;
        for place in self.places(|_| true) {
            let worker = self.workers.at(place);
            self.books.ended(worker.launched, last, worker.spot);
        }
        self.books.close(self.setting.worker.threads, self.events)
    }

    /// What is there and what is planned at the start.
    fn begin(&mut self) {
        let publishing = self.setting.publishing;
        for outage in &self.setting.losses.outages {
            self.agenda.put(nanos(outage.at), Event::OutageBegins);
            self.agenda.put(nanos(outage.at.saturating_add(outage.length)), Event::OutageEnds);
        }
        self.agenda.put(self.slice, Event::SliceEnds);
        if !self.policies.is_empty() {
            let phase = |length: Duration, random: &mut Rng| match publishing.random_phase {
                true => random.u64(..nanos(length)),
                false => 0,
            };
            let look = phase(publishing.interval, &mut self.chance);
            let period = phase(publishing.period, &mut self.chance);
            self.agenda.put(look, Event::Look);
            self.agenda.put(period.max(1), Event::PeriodEnds);
        }
        self.min = self.min_now();
        let initial = self.setting.group.initial.max(self.min);
        self.desired = initial;
        self.books.level.desired = initial;
        for _ in 0..initial {
            if let Some(id) = self.launch() {
                self.booted(id);
            }
        }
        if !self.setting.group.schedule.is_empty() {
            self.agenda.put(self.next_schedule(), Event::Schedule);
        }
        self.next_arrival();
    }

    fn next_arrival(&mut self) {
        self.next_arrival = self.arrivals.next().map_or(Nanos::MAX, nanos);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Booted(id) => self.booted(id),
            Event::Running(id) => {
                if self.workers.find(id).is_some_and(|worker| worker.state == State::Booting) {
                    self.count_in(id.place);
                }
            }
            Event::Interrupted(id) => self.interrupted(id),
            Event::Crashed(id) => self.crashed(id),
            Event::DrainTimeout(id) => self.drain_timeout(id),
            Event::Reappears(photo) => {
                self.books.level.in_flight -= 1;
                self.visible_again(photo);
                self.scale_at_once();
            }
            Event::Look => self.look(),
            Event::PeriodEnds => {
                let period = self.policies.end_period();
                self.agenda.put(self.now + nanos(self.setting.publishing.delay), Event::Evaluate(period));
                self.agenda.put(self.now + nanos(self.setting.publishing.period), Event::PeriodEnds);
            }
            Event::Evaluate(period) => self.evaluate(period),
            Event::Schedule => {
                self.min = self.min_now();
                if self.desired < self.min {
                    self.set_desired(self.min, || "the scheduled minimum".into());
                }
                self.agenda.put(self.next_schedule(), Event::Schedule);
            }
            Event::OutageBegins => {
                self.no_spot = true;
                for place in self.places(|worker| worker.spot) {
                    self.interrupted(self.workers.id(place));
                }
            }
            Event::OutageEnds => {
                self.no_spot = self.setting.losses.outages.iter().any(|outage| {
                    let begin = nanos(outage.at);
                    (begin..begin.saturating_add(nanos(outage.length))).contains(&self.now)
                });
                self.reconcile();
            }
            Event::SliceEnds => {
                self.books.end_slice(self.now);
                self.agenda.put(self.now + self.slice, Event::SliceEnds);
            }
        }
    }

    // --- photos ---

    #[inline]
    fn arrive(&mut self) {
        self.books.arrived(self.now);
        self.more(Photo { sent: self.now, receives: 0 });
        self.next_arrival();
        self.scale_at_once();
    }

    /// A message comes to the end of the queue, or straight to a worker that waits for one.
    #[inline]
    fn more(&mut self, photo: Photo) {
        match self.workers.poller(&mut self.random) {
            Some(place) => self.deliver(place, photo),
            None => {
                self.queue.push_back(photo);
                self.books.more_visible(1);
            }
        }
    }

    /// A message that was received before can be received again, before all that came later.
    fn visible_again(&mut self, photo: Photo) {
        if photo.receives >= self.setting.queue.max_receives {
            self.books.failed(photo.sent, self.now);
            return;
        }
        match self.workers.poller(&mut self.random) {
            Some(place) => self.deliver(place, photo),
            None => {
                self.queue.push_front(photo);
                self.books.more_visible(1);
            }
        }
    }

    /// A worker receives a message.
    #[inline]
    fn deliver(&mut self, place: u32, mut photo: Photo) {
        photo.receives += 1;
        self.books.received();
        self.books.level.in_flight += 1;
        let worker = self.workers.at_mut(place);
        worker.in_flight += 1;
        if worker.in_flight == self.capacity {
            self.workers.no_room(place);
        }
        match self.workers.resting_thread(place) {
            Some(thread) => self.start(place, thread, Held { photo, received: self.now }),
            None => self.workers.at_mut(place).held.push_back(Held { photo, received: self.now }),
        }
    }

    /// A thread takes a message, and begins when the photo is fetched.
    #[inline]
    fn start(&mut self, place: u32, number: u32, Held { photo, received }: Held) {
        let began = self.now.max(received + self.fetch);
        let at = began + self.setting.worker.service.draw(&mut self.random);
        let thread = self.workers.thread_mut(number);
        thread.photo = Some(photo);
        thread.received = received;
        thread.began = began;
        let worker = self.workers.at_mut(place);
        worker.busy += 1;
        let generation = worker.generation;
        self.books.level.busy_threads += 1;
        self.endings.push(Reverse(Ending { at, thread: number, generation }));
    }

    /// A thread is done, or a photo is stored.
    #[inline]
    fn ending(&mut self) {
        let Some(Reverse(ending)) = self.endings.pop() else { return };
        if ending.thread & STORED != 0 {
            let place = ending.thread & !STORED;
            let worker = self.workers.at(place);
            if worker.generation == ending.generation && worker.state != State::Gone {
                self.let_go(place);
            } else {
                self.books.level.in_flight -= 1;
            }
            self.scale_at_once();
            return;
        }
        let place = self.workers.place_of(ending.thread);
        if self.workers.at(place).generation != ending.generation {
            return;
        }
        let thread = self.workers.thread_mut(ending.thread);
        let began = thread.began;
        let Some(photo) = thread.photo.take() else { return };
        self.books.answered(photo.sent, began, self.now, self.now + self.store);
        self.books.level.busy_threads -= 1;
        let worker = self.workers.at_mut(place);
        worker.busy -= 1;
        if let Some(held) = worker.held.pop_front() {
            self.start(place, ending.thread, held);
        }
        if self.store == 0 {
            self.let_go(place);
            self.scale_at_once();
        } else {
            let (at, thread) = (self.now + self.store, place | STORED);
            self.endings.push(Reverse(Ending { at, thread, generation: ending.generation }));
        }
    }

    /// A worker deletes a message that is answered, and has room for another one.
    #[inline]
    fn let_go(&mut self, place: u32) {
        self.books.level.in_flight -= 1;
        let worker = self.workers.at_mut(place);
        worker.in_flight -= 1;
        match worker.state {
            State::Working => self.receive(place),
            State::Draining if worker.in_flight == 0 => self.end(place),
            State::Draining | State::Booting | State::Gone => {}
        }
    }

    /// A worker takes from the queue what it has room for, and waits for more if it has room for that.
    #[inline]
    fn receive(&mut self, place: u32) {
        while self.workers.at(place).in_flight < self.capacity {
            let Some(photo) = self.queue.pop_front() else {
                self.workers.has_room(place);
                return;
            };
            self.books.level.visible -= 1;
            self.deliver(place, photo);
        }
    }

    // --- instances ---

    /// The places of the workers that are like this, the oldest first.
    fn places(&self, wanted: impl Fn(&workers::Worker) -> bool) -> Vec<u32> {
        let mut found: Vec<(Nanos, u32)> = self
            .workers
            .all()
            .filter(|(_, worker)| wanted(worker))
            .map(|(place, worker)| (worker.launched, place))
            .collect();
        found.sort_unstable();
        found.into_iter().map(|(_, place)| place).collect()
    }

    fn set_desired(&mut self, desired: u32, cause: impl FnOnce() -> String) {
        if desired != self.desired {
            self.desired = desired;
            self.books.changed(self.now, desired, cause);
        }
        self.reconcile();
    }

    /// Launch and end instances until there are as many as there should be.
    fn reconcile(&mut self) {
        while self.staying < self.desired && self.launch().is_some() {}
        if self.staying > self.desired {
            let surplus = (self.staying - self.desired) as usize;
            let staying = |worker: &workers::Worker| matches!(worker.state, State::Booting | State::Working);
            let places = match self.at_once {
                None => self.places(staying),
                // In theory's farms the setup is broken off first, and no server that works is turned off.
                Some(_) => {
                    let mut places = self.places(staying);
                    places.sort_by_key(|place| {
                        let worker = self.workers.at(*place);
                        (worker.state != State::Booting, worker.in_flight > 0)
                    });
                    places
                }
            };
            for place in places.into_iter().take(surplus) {
                self.terminate(place, nanos(self.setting.drain));
            }
        }
    }

    /// Starts one more instance, unless there is no capacity.
    fn launch(&mut self) -> Option<WorkerId> {
        let losses = &self.setting.losses;
        let above = self.desired.saturating_sub(losses.on_demand_base);
        let wanted = f64::from(self.desired.min(losses.on_demand_base))
            + (f64::from(above) * losses.on_demand_percent / 100.0 - 1e-9).ceil();
        let spot = f64::from(self.on_demand) >= wanted;
        if spot && self.no_spot {
            return None;
        }
        let id = self.workers.launch(self.now, spot);
        self.staying += 1;
        self.on_demand += u32::from(!spot);
        self.books.level.instances += 1;
        self.agenda.put(self.now + self.setting.boot.draw(&mut self.chance), Event::Booted(id));
        if let Some(after) = self.setting.in_service_after {
            self.agenda.put(self.now + nanos(after), Event::Running(id));
        }
        let mut by_chance = |per_hour: f64, event: Event, agenda: &mut Agenda| {
            if per_hour > 0.0 {
                let after = exponential(HOUR as f64 / per_hour, &mut self.chance);
                agenda.put(self.now.saturating_add(after), event);
            }
        };
        if spot {
            by_chance(losses.interruptions_per_hour, Event::Interrupted(id), &mut self.agenda);
        }
        by_chance(losses.crashes_per_hour, Event::Crashed(id), &mut self.agenda);
        Some(id)
    }

    fn booted(&mut self, id: WorkerId) {
        if self.workers.find(id).is_none_or(|worker| worker.state != State::Booting) {
            return;
        }
        self.workers.at_mut(id.place).state = State::Working;
        self.count_in(id.place);
        self.receive(id.place);
        self.scale_at_once();
    }

    /// The group counts it as in service, if it does not yet.
    fn count_in(&mut self, place: u32) {
        let worker = self.workers.at_mut(place);
        if worker.in_service_since.is_none() {
            worker.in_service_since = Some(self.now);
            self.in_service += 1;
            self.books.in_service(self.in_service);
        }
    }

    /// The group wants this instance no more; it has so long to finish what it has.
    fn terminate(&mut self, place: u32, limit: Nanos) {
        match self.workers.at(place).state {
            State::Booting => {
                self.leave(place);
                self.end(place);
            }
            State::Working => {
                self.leave(place);
                self.workers.no_room(place);
                self.workers.at_mut(place).state = State::Draining;
                // What waits for a thread is given back at once.
                while let Some(held) = self.workers.at_mut(place).held.pop_back() {
                    self.workers.at_mut(place).in_flight -= 1;
                    self.books.level.in_flight -= 1;
                    self.visible_again(held.photo);
                }
                if self.workers.at(place).in_flight == 0 {
                    self.end(place);
                } else {
                    self.agenda.put(self.now + limit, Event::DrainTimeout(self.workers.id(place)));
                }
            }
            State::Draining | State::Gone => {}
        }
    }

    /// It counts no more as one that stays.
    fn leave(&mut self, place: u32) {
        let worker = self.workers.at(place);
        self.staying -= 1;
        self.on_demand -= u32::from(!worker.spot);
        if worker.in_service_since.is_some() {
            self.in_service -= 1;
            self.books.in_service(self.in_service);
        }
    }

    /// The instance is gone.
    fn end(&mut self, place: u32) {
        let worker = self.workers.at(place);
        self.books.ended(worker.launched, self.now, worker.spot);
        self.books.level.instances -= 1;
        self.workers.end(place);
    }

    /// The time to finish is over: what still runs is given back.
    fn drain_timeout(&mut self, id: WorkerId) {
        if self.workers.find(id).is_none_or(|worker| worker.state != State::Draining) {
            return;
        }
        let photos = self.take_photos(id.place);
        self.end(id.place);
        for (photo, _) in photos {
            self.books.level.in_flight -= 1;
            self.visible_again(photo);
        }
    }

    fn interrupted(&mut self, id: WorkerId) {
        if self.workers.find(id).is_none_or(|worker| worker.state == State::Draining) {
            return;
        }
        self.books.lost_a_worker();
        self.terminate(id.place, nanos(self.setting.drain.min(self.setting.losses.notice)));
        self.reconcile();
    }

    /// What it had is visible again when nobody extends it any more.
    fn crashed(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.find(id) else { return };
        let (had_left, timeout) = (worker.state == State::Draining, nanos(self.setting.queue.visibility_timeout));
        self.books.lost_a_worker();
        for (photo, received) in self.take_photos(id.place) {
            let half = (timeout / 2).max(1);
            let extended = received + (self.now - received) / half * half;
            self.agenda.put((extended + timeout).max(self.now), Event::Reappears(photo));
        }
        if !had_left {
            self.leave(id.place);
        }
        self.end(id.place);
        self.reconcile();
    }

    /// Every photo that this worker has not answered, with when it was received; the worker is left without.
    fn take_photos(&mut self, place: u32) -> Vec<(Photo, Nanos)> {
        let mut photos = Vec::new();
        for number in self.workers.threads_of(place) {
            let thread = self.workers.thread_mut(number);
            if let Some(photo) = thread.photo.take() {
                photos.push((photo, thread.received));
            }
        }
        self.books.level.busy_threads -= photos.len() as u32;
        let worker = self.workers.at_mut(place);
        photos.extend(worker.held.drain(..).map(|held| (held.photo, held.received)));
        worker.in_flight = 0;
        worker.busy = 0;
        photos
    }

    // --- scaling ---

    fn look(&mut self) {
        let since = std::mem::take(&mut self.books.since_look);
        let demand = self.estimate(since);
        let look = Observation {
            visible: self.books.level.visible,
            in_flight: self.books.level.in_flight,
            in_service: self.in_service,
            threads: self.in_service * self.setting.worker.threads,
            demand,
        };
        self.last_look = self.now;
        for (policy, value) in self.policies.publish(&look).enumerate() {
            self.books.published(policy, value);
        }
        self.agenda.put(self.now + nanos(self.setting.publishing.interval), Event::Look);
        // metric-streamer calls the first workers itself.
        if self.desired == 0 && self.in_service == 0 && look.visible > 0 {
            let needed = (demand.needed.ceil() as u32).clamp(1, self.setting.group.max);
            self.set_desired(needed, || "photos wait and there is no worker".into());
        }
    }

    /// What metric-streamer makes of it, from what workers told it and the queue's depth.
    fn estimate(&mut self, since: SinceLook) -> Estimate {
        let seconds = in_seconds(self.now - self.last_look);
        let workers = f64::from(self.in_service) * seconds;
        let slots = workers * f64::from(self.setting.worker.threads);
        let photos = since.answered as f64;
        let work = Work { photos, turns: photos, busy: since.busy_seconds, slots, workers };
        let at = in_seconds(self.now);
        self.estimator.worked(Worked { until: at, seconds, work });
        let Level { visible, in_flight, .. } = self.books.level;
        self.estimator.look(&demand::Look { at, visible, in_flight, in_service: self.in_service })
    }

    fn evaluate(&mut self, period: u64) {
        let phase = |(_, worker): (u32, &workers::Worker)| match (worker.state, worker.in_service_since) {
            (State::Draining | State::Gone, _) => Phase::Terminating,
            (State::Booting | State::Working, Some(since)) => Phase::InService(Duration::from_nanos(self.now - since)),
            (State::Booting | State::Working, None) => Phase::Pending,
        };
        let instances = self.workers.all().map(phase);
        let capacity = Capacity::of(self.min, self.setting.group.max, self.desired, self.setting.warmup, instances);
        if let Some(decision) = self.policies.evaluate(period, &capacity, Duration::from_nanos(self.now)) {
            let alarm = match decision.scaling {
                target_tracking::CapacityChange::Out(_) => "AlarmHigh",
                target_tracking::CapacityChange::In(_) => "AlarmLow",
            };
            let cause = format!("{alarm} of {}", self.policies.name(decision.tracker));
            self.set_desired(decision.scaling.desired(), || cause);
        }
    }

    /// Where the fleet follows the photos without any delay: as many workers as photos.
    #[inline]
    fn scale_at_once(&mut self) {
        let Some(one_at_a_time) = self.at_once else { return };
        let photos = u32::try_from(self.books.in_system()).unwrap_or(u32::MAX);
        let wanted = if one_at_a_time { photos.min(self.in_service + 1) } else { photos };
        let desired = wanted.clamp(self.min, self.setting.group.max);
        if desired != self.desired {
            self.set_desired(desired, || "as many as photos".into());
        }
    }

    /// The minimum at this time of the day.
    fn min_now(&self) -> u32 {
        let time = self.now % DAY;
        let scheduled = self
            .setting
            .group
            .schedule
            .iter()
            .filter(|scheduled| (nanos(scheduled.from)..nanos(scheduled.to)).contains(&time));
        scheduled.map(|scheduled| scheduled.min).max().unwrap_or(0).max(self.setting.group.min)
    }

    /// When the next scheduled minimum begins or ends.
    fn next_schedule(&self) -> Nanos {
        let midnight = self.now - self.now % DAY;
        let edges = self.setting.group.schedule.iter().flat_map(|scheduled| [scheduled.from, scheduled.to]);
        let next = |edge: Duration| {
            let today = midnight + nanos(edge);
            if today > self.now { today } else { today + DAY }
        };
        edges.map(next).min().unwrap_or(Nanos::MAX)
    }
}
