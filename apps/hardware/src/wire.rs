//! What app and appd say to each other about an I²C address: a request and a response, each one
//! packet of a `SOCK_SEQPACKET` socket.
//!
//! | request | bytes |
//! |---|---|
//! | address | 1 |
//! | for each operation: 0 write or 1 read | 1 |
//! | its length, little-endian | 2 |
//! | of a write: the data | its length |
//!
//! | response | bytes |
//! |---|---|
//! | error number of the kernel, 0 without one, little-endian | 4 |
//! | what was read, one read after the other | sum of their lengths |

/// Most operations in one request: the kernel's own limit (`I2C_RDWR_IOCTL_MAX_MSGS`).
pub const MAX_OPERATIONS: usize = 42;
/// Most bytes of a request or response.
pub const MAX_PACKET: usize = 8 * 1024;
const WRITE: u8 = 0;
const READ: u8 = 1;

/// Something to do on the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// These bytes are written.
    Write(Vec<u8>),
    /// So many bytes are read.
    Read(u16),
}

/// All operations of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The address that is meant.
    pub address: u8,
    /// In order.
    pub operations: Vec<Operation>,
}

impl Request {
    /// As a packet; `None`: too long.
    pub fn encode(&self) -> Option<Vec<u8>> {
        let mut packet = vec![self.address];
        for operation in &self.operations {
            match operation {
                Operation::Write(data) => {
                    packet.push(WRITE);
                    packet.extend(u16::try_from(data.len()).ok()?.to_le_bytes());
                    packet.extend(data);
                }
                Operation::Read(length) => {
                    packet.push(READ);
                    packet.extend(length.to_le_bytes());
                }
            }
        }
        (packet.len() <= MAX_PACKET && self.is_bounded()).then_some(packet)
    }

    /// From a packet; `None`: it is no request.
    pub fn decode(packet: &[u8]) -> Option<Self> {
        let (address, mut rest) = packet.split_first()?;
        let mut operations = Vec::new();
        while let [kind, low, high, data @ ..] = rest {
            let length = u16::from_le_bytes([*low, *high]);
            (operations, rest) = match *kind {
                WRITE => {
                    let (data, rest) = data.split_at_checked(length.into())?;
                    operations.push(Operation::Write(data.to_vec()));
                    (operations, rest)
                }
                READ => {
                    operations.push(Operation::Read(length));
                    (operations, data)
                }
                _ => return None,
            };
        }
        let request = Self { address: *address, operations };
        (rest.is_empty() && request.is_bounded()).then_some(request)
    }

    fn is_bounded(&self) -> bool {
        let read = |operation: &Operation| match operation {
            Operation::Read(length) => usize::from(*length),
            Operation::Write(_) => 0,
        };
        let answer: usize = self.operations.iter().map(read).sum();
        (1..=MAX_OPERATIONS).contains(&self.operations.len()) && answer + 4 <= MAX_PACKET
    }
}

/// The response with what was read, or with the kernel's error number.
pub fn response(result: Result<Vec<Vec<u8>>, i32>) -> Vec<u8> {
    match result {
        Ok(read) => [0_i32.to_le_bytes().to_vec(), read.concat()].concat(),
        Err(number) => number.to_le_bytes().to_vec(),
    }
}

/// What was read, all of it, or the kernel's error number; `None`: it is no response.
pub fn read_response(packet: &[u8]) -> Option<Result<&[u8], i32>> {
    let (number, read) = packet.split_at_checked(4)?;
    match i32::from_le_bytes(number.try_into().ok()?) {
        0 => Some(Ok(read)),
        number => Some(Err(number)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_as_they_were_written() {
        let operations = vec![Operation::Write(vec![0, 1]), Operation::Read(2)];
        let request = Request { address: 0x48, operations };
        let packet = request.encode().unwrap();
        assert_eq!(packet, [0x48, 0, 2, 0, 0, 1, 1, 2, 0]);
        assert_eq!(Request::decode(&packet), Some(request));
    }

    #[test]
    fn what_is_no_request_or_too_much_is_refused() {
        for packet in [&[][..], &[1], &[1, 0, 2, 0, 9], &[1, 2, 0, 0], &[1, 1, 0], &[1, 1, 0, 0, 7]]
        {
            assert_eq!(Request::decode(packet), None, "{packet:?}");
        }
        let many = |count, operation| Request { address: 1, operations: vec![operation; count] };
        assert!(many(42, Operation::Read(1)).encode().is_some());
        assert!(many(43, Operation::Read(1)).encode().is_none());
        assert!(many(2, Operation::Read(5000)).encode().is_none());
        assert!(many(1, Operation::Write(vec![0; MAX_PACKET])).encode().is_none());
    }

    #[test]
    fn responses_tell_what_was_read_or_why_not() {
        let read = response(Ok(vec![vec![1, 2], vec![3]]));
        assert_eq!(read_response(&read), Some(Ok(&[1, 2, 3][..])));
        assert_eq!(read_response(&response(Err(6))), Some(Err(6)));
        assert_eq!(read_response(&[0, 0]), None);
    }
}
