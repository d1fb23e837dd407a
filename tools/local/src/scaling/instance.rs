//! The life of one instance: boots, serves, ends. Each step is reported to the group.

use std::time::Duration;

use anyhow::Context;
use embedded_aws::LifecycleState;
use tokio_util::sync::CancellationToken;

use super::machines::Machines;
use crate::Child;

/// How long a worker may take to stop when everything stops.
const GRACE: Duration = Duration::from_secs(5);

/// Live until the process has ended, for whatever reason.
pub(super) async fn live(machines: Machines, id: String, boot: Duration) {
    let instance = Instance { plug: machines.plug(&id), machines: &machines, id: &id };
    instance.boot_and_serve(boot).await;
    machines.forget(&id);
    // The group may have been deleted, with its instances.
    let _ = machines.parts().auto_scaling.terminated(&id);
}

struct Instance<'a> {
    machines: &'a Machines,
    id: &'a str,
    /// Cancelled when somebody pulls it.
    plug: CancellationToken,
}

/// Why an instance's life goes on to its end.
enum End {
    /// The group asked for it.
    Asked,
    /// The process ended, or was killed.
    Died,
    /// Everything stops.
    Stopping,
}

impl Instance<'_> {
    async fn boot_and_serve(&self, boot: Duration) {
        tokio::select! {
            () = tokio::time::sleep(boot) => {}
            _ = self.interrupted() => return,
        }
        let mut child = match (self.machines.parts().start)(self.id) {
            Ok(child) => child,
            Err(error) => return self.wait_after(&error).await,
        };
        self.machines.set_process(self.id, child.id());
        // In service is an instance that takes jobs, not one that merely runs.
        let takes_jobs = async {
            let address = child.ready().await?;
            child.takes_jobs().await?;
            anyhow::Ok(address)
        };
        let ready = tokio::select! {
            ready = takes_jobs => ready,
            end = self.interrupted() => return self.end(child, end).await,
        };
        match ready {
            Ok(address) => self.machines.set_ready(self.id, address),
            Err(error) => {
                self.machines.set_process(self.id, None);
                return self.wait_after(&error).await;
            }
        }
        let end = match self.machines.parts().auto_scaling.in_service(self.id) {
            Ok(()) => tokio::select! {
                status = child.ended() => {
                    let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                    self.machines.trouble(format!("the worker of {} ended ({status}); the group replaces it", self.id));
                    End::Died
                }
                end = self.interrupted() => end,
            },
            // Its group was deleted.
            Err(_) => End::Asked,
        };
        self.end(child, end).await;
    }

    /// Until the group, the launcher or somebody at the plug wants this instance to end.
    async fn interrupted(&self) -> End {
        tokio::select! {
            () = self.state(|state| state.is_none_or(LifecycleState::is_terminating)) => End::Asked,
            () = self.plug.cancelled() => End::Died,
            () = self.machines.parts().stopping.cancelled() => End::Stopping,
        }
    }

    /// Until the group has this instance in a state like this; `None` if it has it no more.
    async fn state(&self, wanted: impl Fn(Option<LifecycleState>) -> bool) {
        let auto_scaling = &self.machines.parts().auto_scaling;
        let mut changes = auto_scaling.changes();
        loop {
            changes.mark_unchanged();
            if wanted(auto_scaling.instance(self.id).map(|(_, instance)| instance.state)) {
                return;
            }
            if changes.changed().await.is_err() {
                // AWS is gone.
                return;
            }
        }
    }

    async fn end(&self, mut child: Child, end: End) {
        match end {
            End::Died => {
                // One that is gone can't be killed.
                let _ = child.kill().await;
            }
            End::Stopping => child.stop(GRACE).await,
            End::Asked => self.drain(child).await,
        }
    }

    /// SIGTERM, and after the drain time, or when the hook that held the instance lets go of it, SIGKILL.
    async fn drain(&self, mut child: Child) {
        child.terminate();
        let held = self.is(LifecycleState::TerminatingWait);
        let let_go = async {
            if held {
                self.state(|state| state != Some(LifecycleState::TerminatingWait)).await;
            } else {
                std::future::pending().await
            }
        };
        tokio::select! {
            _ = child.ended() => {}
            () = tokio::time::sleep(self.machines.parts().drain) => {
                self.machines.trouble(format!("the worker of {} did not stop in time and was killed", self.id));
            }
            () = let_go => {}
            () = self.plug.cancelled() => {}
            () = self.machines.parts().stopping.cancelled() => return child.stop(GRACE).await,
        }
        let _ = child.kill().await;
        if self.is(LifecycleState::TerminatingWait)
            && let Err(error) = self.complete_lifecycle_action().await
        {
            self.machines.trouble(format!("{error:#}"));
        }
    }

    /// What a worker on EC2 does by itself at the end of its drain.
    async fn complete_lifecycle_action(&self) -> anyhow::Result<()> {
        let parts = self.machines.parts();
        let hooks = parts.client.describe_lifecycle_hooks().auto_scaling_group_name(&parts.group).send().await;
        let hooks = hooks.with_context(|| format!("can't read the lifecycle hooks of the group {}", parts.group))?;
        let ends = |transition: &str| transition.ends_with("EC2_INSTANCE_TERMINATING");
        for hook in hooks.lifecycle_hooks().iter().filter(|hook| hook.lifecycle_transition().is_some_and(ends)) {
            parts
                .client
                .complete_lifecycle_action()
                .auto_scaling_group_name(&parts.group)
                .set_lifecycle_hook_name(hook.lifecycle_hook_name().map(str::to_owned))
                .instance_id(self.id)
                .lifecycle_action_result("CONTINUE")
                .send()
                .await
                .with_context(|| format!("can't complete the lifecycle action of {}", self.id))?;
        }
        Ok(())
    }

    fn is(&self, state: LifecycleState) -> bool {
        let instance = self.machines.parts().auto_scaling.instance(self.id);
        instance.is_some_and(|(_, instance)| instance.state == state)
    }

    /// The worker did not start. The instance stays `Pending` for a while, so that its replacement comes later.
    async fn wait_after(&self, error: &anyhow::Error) {
        let wait = self.machines.failed(self.id, error);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = self.interrupted() => {}
        }
    }
}
