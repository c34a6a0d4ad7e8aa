//! init's end of the socket at which services say that they are ready.

use crate::program::until;
use protocol::control::{INIT_SOCKET, InitRequest, InitResponse, read_frame, write_frame};
use std::{
    fs,
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
};

/// A listening init.
pub struct Init(UnixListener);

impl Init {
    /// At the socket's place below a root.
    pub fn listen(root: &Path) -> Self {
        let path = root.join(INIT_SOCKET.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let listener = UnixListener::bind(path).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    /// Waits until a service says that it is ready.
    pub fn expect_ready(&self) {
        let mut stream: Option<UnixStream> = None;
        until("the service speaks to init", || {
            stream = self.0.accept().ok().map(|(stream, _)| stream);
            stream.is_some()
        });
        let mut stream = stream.unwrap();
        stream.set_nonblocking(false).unwrap();
        let request: InitRequest = read_frame(&mut stream).unwrap();
        assert_eq!(request, InitRequest::Ready);
        write_frame(&mut stream, &InitResponse::Ok).unwrap();
    }
}
