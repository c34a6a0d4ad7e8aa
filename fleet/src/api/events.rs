//! Server-sent events: one message per piece of news.

use crate::core::Fleet;
use crate::feed::News;
use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::{Stream, stream};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;

/// Between comments that keep proxies from closing a quiet connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(super) async fn stream(
    State(fleet): State<Arc<Fleet>>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let listener = fleet.feed.listen();
    let first = Some(Event::default().comment("listening"));
    let news = stream::unfold((listener, first), |(mut listener, first)| async move {
        if let Some(first) = first {
            return Some((Ok(first), (listener, None)));
        }
        let news = match listener.recv().await {
            Ok(news) => news,
            Err(RecvError::Lagged(_)) => News::Everything,
            Err(RecvError::Closed) => return None,
        };
        let data = serde_json::to_string(&news).unwrap_or_default();
        Some((Ok(Event::default().data(data)), (listener, None)))
    });
    Sse::new(news).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}
