//! The workers and what they hold. Small structs in place of each other, reused: nothing is allocated for a photo.

use std::collections::VecDeque;

use crate::time::Nanos;

/// A photo on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Photo {
    /// When it was sent.
    pub(super) sent: Nanos,
    /// How often it was received.
    pub(super) receives: u32,
}

/// A worker's place, and which of those that had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WorkerId {
    pub(super) place: u32,
    pub(super) generation: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nobody's.
    Gone,
    /// Takes no jobs yet.
    Booting,
    /// Takes jobs.
    Working,
    /// Finishes what it has, and takes nothing more.
    Draining,
}

/// A message that waits for a thread.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) photo: Photo,
    pub(super) received: Nanos,
}

#[derive(Debug)]
pub(super) struct Worker {
    pub(super) state: State,
    pub(super) generation: u32,
    pub(super) spot: bool,
    pub(super) launched: Nanos,
    /// Since when the group counts it as in service; it may boot all the same.
    pub(super) in_service_since: Option<Nanos>,
    /// Messages that it has: waiting for a thread, in one, being stored.
    pub(super) in_flight: u32,
    /// Its threads that work.
    pub(super) busy: u32,
    pub(super) held: VecDeque<Held>,
}

/// A thread at work.
#[derive(Clone, Copy, Debug)]
pub(super) struct Thread {
    /// `None` while it rests.
    pub(super) photo: Option<Photo>,
    pub(super) received: Nanos,
    pub(super) began: Nanos,
}

const AT_REST: Thread = Thread { photo: None, received: 0, began: 0 };

/// All workers, and which of them wait for messages.
#[derive(Debug)]
pub(super) struct Workers {
    threads_each: u32,
    workers: Vec<Worker>,
    threads: Vec<Thread>,
    free_places: Vec<u32>,
    /// Places of the workers that have room, in no order.
    pollers: Vec<u32>,
    /// Where in `pollers` each place is, if it is there.
    poller_of: Vec<Option<u32>>,
}

impl Workers {
    pub(super) fn new(threads_each: u32) -> Self {
        Self {
            threads_each,
            workers: Vec::new(),
            threads: Vec::new(),
            free_places: Vec::new(),
            pollers: Vec::new(),
            poller_of: Vec::new(),
        }
    }

    /// A new one, which boots.
    pub(super) fn launch(&mut self, now: Nanos, spot: bool) -> WorkerId {
        let place = self.free_places.pop().unwrap_or_else(|| {
            self.workers.push(Worker {
                state: State::Gone,
                generation: 0,
                spot: false,
                launched: 0,
                in_service_since: None,
                in_flight: 0,
                busy: 0,
                held: VecDeque::new(),
            });
            self.threads.extend((0..self.threads_each).map(|_| AT_REST));
            self.poller_of.push(None);
            self.workers.len() as u32 - 1
        });
        let worker = &mut self.workers[place as usize];
        worker.state = State::Booting;
        worker.generation += 1;
        worker.spot = spot;
        worker.launched = now;
        worker.in_service_since = None;
        WorkerId { place, generation: worker.generation }
    }

    /// It is gone; its place is free for another one.
    pub(super) fn end(&mut self, place: u32) {
        self.no_room(place);
        let first = (place * self.threads_each) as usize;
        self.threads[first..first + self.threads_each as usize].fill(AT_REST);
        let worker = &mut self.workers[place as usize];
        worker.state = State::Gone;
        worker.in_flight = 0;
        worker.busy = 0;
        worker.held.clear();
        self.free_places.push(place);
    }

    /// The worker, if it is still the same.
    pub(super) fn find(&self, id: WorkerId) -> Option<&Worker> {
        let worker = &self.workers[id.place as usize];
        (worker.generation == id.generation && worker.state != State::Gone).then_some(worker)
    }

    #[inline]
    pub(super) fn at(&self, place: u32) -> &Worker {
        &self.workers[place as usize]
    }

    #[inline]
    pub(super) fn at_mut(&mut self, place: u32) -> &mut Worker {
        &mut self.workers[place as usize]
    }

    pub(super) fn id(&self, place: u32) -> WorkerId {
        WorkerId { place, generation: self.at(place).generation }
    }

    /// Those that are not gone, with their places.
    pub(super) fn all(&self) -> impl Iterator<Item = (u32, &Worker)> {
        (0..).zip(&self.workers).filter(|(_, worker)| worker.state != State::Gone)
    }

    #[inline]
    pub(super) fn thread(&self, number: u32) -> &Thread {
        &self.threads[number as usize]
    }

    #[inline]
    pub(super) fn thread_mut(&mut self, number: u32) -> &mut Thread {
        &mut self.threads[number as usize]
    }

    /// Whose thread this is.
    #[inline]
    pub(super) fn place_of(&self, thread: u32) -> u32 {
        thread / self.threads_each
    }

    /// The numbers of a worker's threads.
    pub(super) fn threads_of(&self, place: u32) -> std::ops::Range<u32> {
        place * self.threads_each..(place + 1) * self.threads_each
    }

    /// A thread of this worker that rests.
    #[inline]
    pub(super) fn resting_thread(&self, place: u32) -> Option<u32> {
        if self.at(place).busy == self.threads_each {
            return None;
        }
        self.threads_of(place).find(|thread| self.thread(*thread).photo.is_none())
    }

    /// The worker waits for messages.
    #[inline]
    pub(super) fn has_room(&mut self, place: u32) {
        if self.poller_of[place as usize].is_none() {
            self.poller_of[place as usize] = Some(self.pollers.len() as u32);
            self.pollers.push(place);
        }
    }

    /// The worker waits for no messages.
    #[inline]
    pub(super) fn no_room(&mut self, place: u32) {
        if let Some(at) = self.poller_of[place as usize].take() {
            self.pollers.swap_remove(at as usize);
            if let Some(moved) = self.pollers.get(at as usize) {
                self.poller_of[*moved as usize] = Some(at);
            }
        }
    }

    /// One of those that wait for messages, by chance: SQS promises no order.
    #[inline]
    pub(super) fn poller(&self, random: &mut fastrand::Rng) -> Option<u32> {
        match self.pollers.len() {
            0 => None,
            1 => Some(self.pollers[0]),
            many => Some(self.pollers[random.usize(..many)]),
        }
    }
}
