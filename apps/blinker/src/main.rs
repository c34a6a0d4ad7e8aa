//! The sample app for hardware: blinks the line of the plug `led` and prints what the thermometer
//! at the plug `sensor` says, each as far as it is connected; and tries the address beside it.

use embedded_hal::{digital::StatefulOutputPin, i2c::I2c};
use std::{thread, time::Duration};

/// Half of a blink.
const INTERVAL: Duration = Duration::from_millis(500);
/// Half blinks between two readings.
const READING: u32 = 2;
/// Address of a TMP105 or LM75, and its register of the temperature.
const ADDRESS: u8 = 0x48;
const TEMPERATURE: u8 = 0;
/// What is not granted.
const NEIGHBOUR: u8 = 0x49;

fn main() -> Result<(), hardware::Error> {
    let mut led = match hardware::line("led") {
        Ok(line) => Some(line.into_output(false)?),
        Err(error) => {
            println!("{error}");
            None
        }
    };
    let mut sensor = match hardware::i2c("sensor") {
        Ok(sensor) => Some(sensor),
        Err(error) => {
            println!("{error}");
            None
        }
    };
    if let Some(sensor) = &mut sensor {
        match read(sensor, NEIGHBOUR) {
            Ok(degrees) => println!("neighbour GOT THROUGH: {degrees}"),
            Err(error) => println!("neighbour refused: {error}"),
        }
    }
    for half in 0_u32.. {
        if let Some(led) = &mut led {
            led.toggle()?;
        }
        if let Some(sensor) = sensor.as_mut().filter(|_| half.is_multiple_of(READING)) {
            match read(sensor, ADDRESS) {
                Ok(degrees) => println!("temperature {degrees:.1}"),
                Err(error) => println!("{error}"),
            }
        }
        thread::sleep(INTERVAL);
    }
    Ok(())
}

/// Degrees Celsius: the upper twelve bits, in sixteenths (TMP105 data sheet, section 7.4.1).
fn read(sensor: &mut hardware::I2c, address: u8) -> Result<f32, hardware::Error> {
    let mut register = [0; 2];
    sensor.write_read(address, &[TEMPERATURE], &mut register)?;
    Ok(f32::from(i16::from_be_bytes(register) >> 4) / 16.0)
}
