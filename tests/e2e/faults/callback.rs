//! The way to polybot's `/results`, which can be closed: a port where nobody listens until it is opened.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Mutex;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub(crate) struct Callback {
    address: SocketAddr,
    polybot: Mutex<Option<SocketAddr>>,
    serving: Mutex<Option<JoinHandle<()>>>,
}

impl Callback {
    /// An address where nobody listens.
    pub(crate) async fn closed() -> Self {
        // Bound once and let go, so that connecting is refused and opening it later works.
        let address = StdListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port");
        Self { address, polybot: Mutex::new(None), serving: Mutex::new(None) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/results", self.address)
    }

    /// Where it leads once it is open.
    pub(crate) fn lead_to(&self, polybot: SocketAddr) {
        *self.polybot.lock().expect("no panic") = Some(polybot);
    }

    /// From now on, lead there.
    pub(crate) async fn open(&self) {
        let polybot = self.polybot.lock().expect("no panic").expect("it leads somewhere");
        let listener = TcpListener::bind(self.address).await.expect("the port is still free");
        let serving = tokio::spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                tokio::spawn(async move {
                    if let Ok(mut to) = TcpStream::connect(polybot).await {
                        let _ = copy_bidirectional(&mut from, &mut to).await;
                    }
                });
            }
        });
        *self.serving.lock().expect("no panic") = Some(serving);
    }
}

impl Drop for Callback {
    fn drop(&mut self) {
        if let Some(serving) = self.serving.lock().expect("no panic").take() {
            serving.abort();
        }
    }
}
