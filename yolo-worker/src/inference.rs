//! The threads that detect: heavy work never runs on the async runtime.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use fleet::telemetry::Metrics;
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};

type Task = Box<dyn FnOnce() + Send>;

/// A fixed number of threads that take tasks in order. Dropping the last handle ends them after their tasks.
#[derive(Clone, Debug)]
pub(crate) struct InferencePool {
    tasks: mpsc::Sender<Task>,
    slots: Arc<Semaphore>,
}

/// The task panicked; the thread goes on with the next one.
#[derive(Debug, thiserror::Error)]
#[error("the detection panicked")]
pub(crate) struct Panicked;

impl InferencePool {
    /// Start `threads` threads, which measure there.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(crate) fn new(threads: usize, metrics: Metrics) -> std::io::Result<Self> {
        let (tasks, receiver) = mpsc::channel::<Task>();
        let receiver = Arc::new(Mutex::new(receiver));
        for number in 0..threads {
            let receiver = Arc::clone(&receiver);
            std::thread::Builder::new().name(format!("inference-{number}")).spawn(move || {
                metrics.on_this_thread_for_good();
                loop {
                    // The lock is held while waiting for a task, not while running it.
                    let task = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    match task {
                        Ok(task) => task(),
                        Err(mpsc::RecvError) => return,
                    }
                }
            })?;
        }
        Ok(Self { tasks, slots: Arc::new(Semaphore::new(threads)) })
    }

    /// Wait for a thread to be free; it is yours while you hold the permit. A caller that may stop waiting waits here: a
    /// task that was handed over is run.
    pub(crate) async fn slot(&self) -> SemaphorePermit<'_> {
        self.slots.acquire().await.expect("nobody closes it")
    }

    /// Run `task` on one of the threads.
    ///
    /// # Errors
    /// [`Panicked`] if it panics; nobody else is affected.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        task: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Panicked> {
        let (answer, answered) = oneshot::channel();
        // What the task logs carries the ids of its job.
        let span = tracing::Span::current();
        let task = Box::new(move || {
            // The caller may have given up.
            let _ = answer.send(span.in_scope(|| catch_unwind(AssertUnwindSafe(task))));
        });
        self.tasks.send(task).map_err(|_| Panicked)?;
        answered.await.map_err(|_| Panicked)?.map_err(|_| Panicked)
    }
}

#[cfg(test)]
mod tests {
    use fleet::BuildInfo;

    use super::*;

    fn pool(threads: usize) -> InferencePool {
        let metrics = Metrics::new(BuildInfo { version: "0", commit: "test" }).expect("metrics");
        InferencePool::new(threads, metrics).expect("threads")
    }

    #[tokio::test]
    async fn a_panic_costs_only_its_own_task() {
        let pool = pool(1);
        assert!(pool.run(|| panic!("on purpose")).await.is_err());
        assert_eq!(pool.run(|| 2 + 2).await.expect("answer"), 4);
    }

    #[tokio::test]
    async fn as_many_tasks_as_threads_run_side_by_side() {
        let pool = pool(2);
        let barrier = Arc::new(std::sync::Barrier::new(2));
        let meet = |barrier: Arc<std::sync::Barrier>| move || barrier.wait().is_leader();
        // Each waits for the other: with one thread this would never end.
        let (one, other) = tokio::join!(pool.run(meet(barrier.clone())), pool.run(meet(barrier)));
        assert_ne!(one.expect("one"), other.expect("other"));
    }
}
