//! The codec of the stored environment, against hand-made copies and against U-Boot's rules.

use EnvironmentCopy::{First, Second};
use bootloader_config::Error;
use bootloader_config::environment::{Environment, EnvironmentCopy};
use bootloader_config::layout::ENV_SIZE;
use bootloader_config::slots::{Reading, Slot, SlotState, VAR_CONFIRMED, VAR_TRIAL};

/// A copy made by hand: CRC-32 (IEEE) over the data, little-endian; serial; `name=value` zero.
fn copy(serial: u8, text: &[u8]) -> Vec<u8> {
    let mut raw = vec![0; ENV_SIZE];
    raw[5..5 + text.len()].copy_from_slice(text);
    raw[4] = serial;
    let mut sum = u32::MAX;
    for byte in &raw[5..] {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg());
        }
    }
    raw[..4].copy_from_slice(&(!sum).to_le_bytes());
    raw
}

fn torn(raw: &[u8]) -> Vec<u8> {
    let mut raw = raw.to_vec();
    raw[100] ^= 1;
    raw
}

#[test]
fn the_copy_in_use_is_the_one_that_u_boot_takes() {
    let one = |serial| copy(serial, b"x=one\0");
    let two = |serial| copy(serial, b"x=two\0");
    for (first, second, expected) in [
        (one(1), two(0), First),
        (one(1), two(2), Second),
        (one(255), two(0), Second),
        (one(0), two(255), First),
        (one(254), two(255), Second),
        (one(7), two(7), First),
        // not neighbours: plainly the larger, as U-Boot does it
        (one(250), two(3), First),
        (torn(&one(9)), two(1), Second),
        (one(1), torn(&two(9)), First),
    ] {
        let read = Environment::read(Some(&first), Some(&second)).expect("one is valid");
        assert_eq!(read.active(), expected, "serials {} and {}", first[4], second[4]);
        assert_eq!(read.encode().copy, expected.other());
        let text = if expected == First { "one" } else { "two" };
        assert_eq!(read.get("x"), Some(text));
    }
}

#[test]
fn what_cannot_be_read_is_said_and_not_guessed() {
    let good = copy(1, b"slot_confirmed=b\0");
    let read = |first: Option<&[u8]>, second: Option<&[u8]>| Environment::read(first, second);
    assert_eq!(read(Some(&torn(&good)), Some(&torn(&good))), Err(Error::NoValidCopy));
    assert_eq!(read(None, None), Err(Error::NoValidCopy));
    assert_eq!(read(Some(&good[1..]), None), Err(Error::CopySize { got: ENV_SIZE - 1 }));
    assert_eq!(read(None, Some(&good)).map(|found| found.active()), Ok(Second));
    let odd = copy(1, b"slot_confirmed=c\0slot_trial=\xff\0trial_left=12\0");
    let state = SlotState::read(&read(Some(&odd), None).expect("valid"));
    assert_eq!(state, SlotState::UNREADABLE);
    // ... and storing it again does not turn it into something readable
    let mut same = read(Some(&odd), None).expect("valid");
    state.write(&mut same).expect("nothing to write");
    assert_eq!(SlotState::read(&same), SlotState::UNREADABLE);
}

#[test]
fn unknown_variables_are_kept_in_their_order() {
    let raw = copy(3, b"bootcmd=run x; y=z\0slot_confirmed=a\0empty=\0last=\xc3\xa4\0");
    let mut environment = Environment::read(Some(&raw), None).expect("valid");
    environment.set(VAR_TRIAL, "b").expect("fits");
    environment.set(VAR_CONFIRMED, "b").expect("fits");
    let encoded = environment.encode();
    assert_eq!((encoded.copy, encoded.bytes[4]), (Second, 4));
    let again = Environment::read(Some(&raw), Some(&encoded.bytes)).expect("valid");
    assert_eq!(again.active(), Second);
    assert_eq!(again, environment.stored());
    let entries: Vec<&[u8]> = again.iter().collect();
    let expected: [&[u8]; 5] =
        [b"bootcmd=run x; y=z", b"empty=", b"last=\xc3\xa4", b"slot_trial=b", b"slot_confirmed=b"];
    assert_eq!(entries, expected);
}

#[test]
fn names_that_begin_alike_are_different_variables() {
    let raw = copy(1, b"slot_trial_left=9\0slot_trial=b\0");
    let mut environment = Environment::read(Some(&raw), None).expect("valid");
    assert_eq!(environment.get(VAR_TRIAL), Some("b"));
    environment.unset(VAR_TRIAL);
    assert_eq!(environment.get("slot_trial_left"), Some("9"));
}

#[test]
fn a_full_environment_refuses_and_stays_as_it_was() {
    let mut environment = Environment::empty();
    environment.set("a", &"x".repeat(16_000)).expect("fits");
    let before = environment.clone();
    assert_eq!(environment.set("b", &"y".repeat(500)), Err(Error::EnvironmentFull));
    assert_eq!(environment.set("", "y"), Err(Error::VariableName));
    assert_eq!(environment.set("a=b", "y"), Err(Error::VariableName));
    assert_eq!(environment.set("a", "y\0z"), Err(Error::VariableValue));
    assert_eq!(environment, before);
    // exactly as much as fits: name, '=', value, its zero, the last zero
    let value = "v".repeat(ENV_SIZE - 5 - 4);
    let mut full = Environment::empty();
    full.set("a", &value).expect("fits exactly");
    let bytes = full.encode().bytes;
    let again = Environment::read(None, Some(&bytes)).expect("valid");
    assert_eq!(again.get("a"), Some(value.as_str()));
    assert_eq!(full.set("a", &(value + "v")), Err(Error::EnvironmentFull));
}

#[test]
fn a_raw_copy_without_an_end_is_an_error_and_no_panic() {
    let raw = copy(1, &[b'x'; ENV_SIZE - 5]);
    assert_eq!(Environment::read(Some(&raw), None), Err(Error::EnvironmentFull));
}

#[test]
fn a_fresh_card_has_two_valid_copies_and_the_first_write_goes_to_the_second() {
    let (environment, [first, second]) = Environment::fresh();
    for (one, two) in [(Some(&first[..]), None), (None, Some(&second[..]))] {
        let alone = Environment::read(one, two).expect("each is valid alone");
        assert_eq!(SlotState::read(&alone), SlotState::FRESH);
    }
    let read = Environment::read(Some(&first), Some(&second)).expect("valid");
    assert_eq!((&read, read.active()), (&environment, First));
    assert_eq!(SlotState::read(&read).confirmed, Reading::Is(Slot::A));
}
