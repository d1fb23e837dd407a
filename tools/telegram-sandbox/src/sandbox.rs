//! The sandbox itself: start it, use it, stop it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::app::App;
use crate::bot_command::BotCommand;
use crate::chat::{ChatKind, Forbidden};
use crate::events::{Event, EventKind};
use crate::faults::Fault;
use crate::limits::RateLimits;
use crate::message::{AttachmentKind, ChatMessage};
use crate::options::SandboxOptions;
use crate::server;
use crate::shared::Shared;
use crate::state::World;
use crate::subscription::{Subscription, Timeout};
use crate::user::User;
use crate::webhook_posts::{self, WebhookStatus};

/// How long calls that are being answered may take to end when the sandbox stops.
const STOP_WITHIN: Duration = Duration::from_secs(2);

/// A running stand-in for Telegram. Stops when dropped.
#[derive(Debug)]
pub struct Sandbox {
    shared: Arc<Shared>,
    address: SocketAddr,
    token: String,
    server: Option<JoinHandle<io::Result<()>>>,
    webhook: Option<JoinHandle<()>>,
}

impl Sandbox {
    /// Starts on a free port of loopback.
    pub async fn start(options: SandboxOptions) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let client = webhook_posts::client().map_err(io::Error::other)?;
        let mut world = World::new(&options);
        world.routes.twice = options.deliver_twice;
        let shared = Arc::new(Shared::new(&options, world));
        let stop = shared.stop.clone();
        let serve = axum::serve(listener, server::router(shared.clone()))
            .with_graceful_shutdown(async move { stop.cancelled().await });
        let server = tokio::spawn(async move { serve.await });
        let webhook = tokio::spawn(webhook_posts::run(shared.clone(), client));
        Ok(Self { shared, address, token: options.token, server: Some(server), webhook: Some(webhook) })
    }

    /// What the bot takes as `TELEGRAM_API_URL`.
    pub fn api_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What the bot takes as `TELEGRAM_TOKEN`.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Stops the server and the webhook, and waits until they have.
    pub async fn stop(mut self) {
        self.shared.stop.cancel();
        if let Some(webhook) = self.webhook.take() {
            let _ = webhook.await;
        }
        if let Some(mut server) = self.server.take()
            && tokio::time::timeout(STOP_WITHIN, &mut server).await.is_err()
        {
            server.abort();
        }
    }

    /// What people can do and see, for a part of the program that does not own the sandbox.
    pub fn app(&self) -> App {
        App::new(self.shared.clone())
    }

    /// Adds a person who has started the bot, so that the bot may write to them.
    pub fn user(&self, name: &str) -> User {
        self.app().user(name)
    }

    /// A new group with the bot in it; gives its chat id, for [`User::in_chat`].
    pub fn group(&self, title: &str) -> i64 {
        self.shared.change(|world| world.add_group(title, ChatKind::Group))
    }

    /// A new supergroup with the bot in it; gives its chat id, for [`User::in_chat`].
    pub fn supergroup(&self, title: &str) -> i64 {
        self.shared.change(|world| world.add_group(title, ChatKind::Supergroup))
    }

    /// All that happened so far.
    pub fn events(&self) -> Vec<Arc<Event>> {
        self.shared.world().events().to_vec()
    }

    /// Waits for the first event that is `wanted`, which may have happened before.
    pub async fn wait_for(&self, wanted: impl FnMut(&Event) -> bool, timeout: Duration) -> Result<Event, Timeout> {
        self.subscribe_from(0).find(wanted, timeout).await
    }

    /// Waits for the first answer to a message, whatever it says.
    pub async fn wait_for_reply(
        &self,
        chat_id: i64,
        message_id: i32,
        timeout: Duration,
    ) -> Result<ChatMessage, Timeout> {
        self.wait_for_message(|message| message.chat_id == chat_id && message.reply_to == Some(message_id), timeout)
            .await
    }

    /// Waits for the first message of the bot's that is `wanted`, sent so or edited into it.
    pub async fn wait_for_message(
        &self,
        mut wanted: impl FnMut(&ChatMessage) -> bool,
        timeout: Duration,
    ) -> Result<ChatMessage, Timeout> {
        let wanted = |event: &Event| event.sent().or_else(|| event.edited()).is_some_and(&mut wanted);
        let event = self.wait_for(wanted, timeout).await?;
        Ok(match event.kind {
            EventKind::Sent(message) | EventKind::Edited(message) => message,
            _ => unreachable!("only these two were wanted"),
        })
    }

    /// What the bot sent so far in answer to a message, in order, as it was when it was sent.
    pub fn replies_to(&self, chat_id: i64, message_id: i32) -> Vec<ChatMessage> {
        let events = self.events();
        events.iter().filter_map(|event| event.reply_to(chat_id, message_id).cloned()).collect()
    }

    /// A message as it is now; `None` if it is deleted or never was.
    pub fn message(&self, chat_id: i64, message_id: i32) -> Option<ChatMessage> {
        let world = self.shared.world();
        world.message(chat_id, message_id).map(|message| world.chat_message(message, "", None))
    }

    /// Reads what happens from now on.
    pub fn subscribe(&self) -> Subscription {
        let next = self.shared.world().events_length();
        self.subscribe_from(next)
    }

    /// Reads all from the event with this number on, and then what happens.
    pub fn subscribe_from(&self, seq: usize) -> Subscription {
        Subscription::new(self.shared.clone(), seq)
    }

    /// The content of a file, for a page that shows it.
    pub fn file(&self, file_id: &str) -> Option<(Bytes, String)> {
        self.app().file(file_id)
    }

    /// How often the bot called a method (`"sendPhoto"`, in any case; `"download"` for files), failures counted.
    pub fn calls(&self, method: &str) -> usize {
        self.shared.world().calls.get(&method.to_ascii_lowercase()).copied().unwrap_or_default()
    }

    /// The commands that the bot announced, for everyone.
    pub fn commands(&self) -> Vec<BotCommand> {
        let world = self.shared.world();
        world.commands.iter().find(|(scope, _)| scope.contains("default")).map(|(_, it)| it.clone()).unwrap_or_default()
    }

    /// The webhook as it is now.
    pub fn webhook(&self) -> WebhookStatus {
        WebhookStatus::of(&self.shared.world())
    }

    /// How long each post to the webhook took so far.
    pub fn webhook_times(&self) -> Vec<Duration> {
        self.shared.world().webhook_times.clone()
    }

    /// Waits until the webhook is as `wanted`: set, or with nothing pending.
    pub async fn wait_for_webhook(
        &self,
        mut wanted: impl FnMut(&WebhookStatus) -> bool,
        timeout: Duration,
    ) -> Result<WebhookStatus, Timeout> {
        let mut changed = self.shared.changed.subscribe();
        let search = async {
            loop {
                changed.borrow_and_update();
                let status = self.webhook();
                if wanted(&status) {
                    return status;
                }
                if changed.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(timeout, search).await.map_err(|_| Timeout {
            waited: timeout,
            seen: self.shared.world().events_length(),
            last: format!("{:?}", self.webhook()),
        })
    }

    /// From now on updates go to these URLs in turn (a load balancer's stand-in), not to the webhook's own; none gives
    /// them back to it. The bot must have set a webhook all the same: its secret is sent with each.
    pub fn deliver_to(&self, urls: Vec<String>) {
        self.shared.change(|world| {
            world.routes.instead = urls;
            world.outbox.forget_failures();
        });
    }

    /// From now on each update is posted twice at the same moment (with [`Self::deliver_to`], to two instances).
    pub fn deliver_twice(&self, twice: bool) {
        self.shared.change(|world| world.routes.twice = twice);
    }

    /// From now on sending faster is answered 429.
    pub fn limit(&self, limits: Option<RateLimits>) {
        self.shared.change(|world| world.limiter.limits = limits);
    }

    /// From now on the bot may send one message in so long into this chat (slow mode); more is answered 429.
    pub fn slow_mode(&self, chat_id: i64, pause: Option<Duration>) {
        self.shared.change(|world| world.limiter.slow_down(chat_id, pause));
    }

    /// How many messages into this chat were answered 429.
    pub fn refused(&self, chat_id: i64) -> usize {
        self.shared.world().limiter.refused.get(&chat_id).copied().unwrap_or_default()
    }

    /// From now on the bot has no right to send these into this chat, and all others.
    pub fn forbid(&self, chat_id: i64, what: &[Forbidden]) {
        self.shared.change(|world| {
            if let Some(chat) = world.chats.get_mut(&chat_id) {
                chat.forbidden = what.to_vec();
            }
        });
    }

    /// The group becomes a supergroup; gives its new id.
    pub fn migrate(&self, group: i64) -> i64 {
        self.shared.change(|world| world.migrate(group))
    }

    /// A topic of a forum is removed: nothing can be sent into it.
    pub fn remove_topic(&self, chat_id: i64, thread: i32) {
        self.shared.change(|world| world.closed_topics.insert((chat_id, thread)));
    }

    /// From now on Telegram does not say how large files are.
    pub fn hide_file_sizes(&self, hidden: bool) {
        self.shared.change(|world| world.quirks.no_file_sizes = hidden);
    }

    /// From now on messages have fields and entities that no library knows yet.
    pub fn be_newer(&self, newer: bool) {
        self.shared.change(|world| world.quirks.newer_api = newer);
    }

    /// Delivers an update with this content, of any kind; the sandbox gives it its number, and makes its chat if it does not exist.
    pub fn bring(&self, update: Value) {
        self.shared.change(|world| world.bring(update));
    }

    /// Keeps a file, for an update that is brought; gives its id.
    pub fn keep_file(&self, bytes: impl Into<Bytes>) -> String {
        let bytes = bytes.into();
        self.shared.change(|world| world.files.add(AttachmentKind::Document, bytes, None).0.id)
    }

    /// The next `times` calls of a method (`"sendPhoto"`, in any case; `"download"` for files) go wrong this way.
    pub fn fail_next(&self, method: &str, times: usize, fault: Fault) {
        self.shared.change(|world| world.faults.add(method, times, &fault));
    }

    /// The calls of a method that were still to go wrong go well.
    pub fn fail_no_more(&self, method: &str) {
        self.shared.change(|world| world.faults.forget(method));
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}
