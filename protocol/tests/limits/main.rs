//! Every limit of what is received: at the limit it is taken, one past it it is refused by name.
//! And what a hostile length makes us allocate is bounded by the bytes that came with it.

mod cbor;
mod messages;
mod sys_alloc;
