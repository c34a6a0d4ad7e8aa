//! stub
use crate::core::Fleet;
use axum::Router;
use std::sync::Arc;
/// The routes.
pub fn router(fleet: Arc<Fleet>) -> Router {
    Router::new().with_state(fleet)
}
