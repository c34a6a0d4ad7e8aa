//! News for open pages and API clients: what changed, not how. Who listens asks for the rest.

use serde::Serialize;
use tokio::sync::broadcast;

/// News kept for a listener that is slow; one that misses some is told to look at everything.
const BACKLOG: usize = 256;

/// One piece of news.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "topic", rename_all = "kebab-case")]
pub enum News {
    /// A device's state, presence, apps or history.
    Device {
        /// Its id.
        id: String,
    },
    /// A command's result.
    Command {
        /// Its id.
        id: String,
        /// Its device.
        device: String,
    },
    /// The list of releases.
    Releases,
    /// The list of deployments.
    Deployments,
    /// The list of snaps.
    Snaps,
    /// The list of tokens.
    Tokens,
    /// Some news were missed.
    Everything,
}

/// Sends news to everyone who listens.
#[derive(Clone)]
pub struct Feed(broadcast::Sender<News>);

impl Default for Feed {
    fn default() -> Self {
        Self(broadcast::channel(BACKLOG).0)
    }
}

impl Feed {
    /// Tells everyone; nobody listening is no error.
    pub fn tell(&self, news: News) {
        let _ = self.0.send(news);
    }

    /// Begins to listen.
    pub fn listen(&self) -> broadcast::Receiver<News> {
        self.0.subscribe()
    }
}
