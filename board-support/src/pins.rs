//! Where pins come from: the LED class of the kernel, rppal on a Raspberry Pi, the GPIO character
//! device elsewhere.

use crate::{
    Error,
    board::{GpioLine, LedSource},
    sys_gpio,
};
use embedded_hal::digital::{ErrorType, InputPin, OutputPin};
use std::{fs, path::Path};

const LED_CLASS: &str = "/sys/class/leds";
const COMPATIBLE: &str = "/proc/device-tree/compatible";
/// Label of the chip whose lines rppal knows by their BCM numbers, which are its offsets.
const RASPBERRY_CHIP: &str = "pinctrl-bcm2";

/// An output pin of any origin; high means active.
pub struct BoxedOutput(Box<dyn FnMut(bool) -> Result<(), Error>>);

/// An input pin of any origin; high means active.
pub struct BoxedInput(Box<dyn FnMut() -> Result<bool, Error>>);

impl ErrorType for BoxedOutput {
    type Error = Error;
}

impl OutputPin for BoxedOutput {
    fn set_low(&mut self) -> Result<(), Error> {
        (self.0)(false)
    }
    fn set_high(&mut self) -> Result<(), Error> {
        (self.0)(true)
    }
}

impl ErrorType for BoxedInput {
    type Error = Error;
}

impl InputPin for BoxedInput {
    fn is_high(&mut self) -> Result<bool, Error> {
        (self.0)()
    }
    fn is_low(&mut self) -> Result<bool, Error> {
        (self.0)().map(|high| !high)
    }
}

/// Opens the status LED.
pub fn output(source: &LedSource) -> Result<BoxedOutput, Error> {
    match source {
        LedSource::Class(names) => class_led(Path::new(LED_CLASS), names),
        LedSource::Gpio(line) if is_raspberry(line) => {
            let mut pin = rppal_pin(line)?.into_output_low();
            let active_low = line.active_low;
            Ok(BoxedOutput(Box::new(move |on| {
                if on == active_low {
                    pin.set_low()
                } else {
                    pin.set_high()
                }
                Ok(())
            })))
        }
        LedSource::Gpio(line) => {
            let handle = sys_gpio::Line::request(line, sys_gpio::Direction::Output)?;
            Ok(BoxedOutput(Box::new(move |on| handle.set(on))))
        }
    }
}

/// Opens the reset button.
pub fn input(line: &GpioLine) -> Result<BoxedInput, Error> {
    if is_raspberry(line) {
        let pin = rppal_pin(line)?;
        let pin = if line.active_low { pin.into_input_pullup() } else { pin.into_input_pulldown() };
        let active_low = line.active_low;
        return Ok(BoxedInput(Box::new(move || Ok(pin.is_high() != active_low))));
    }
    let handle = sys_gpio::Line::request(line, sys_gpio::Direction::Input)?;
    Ok(BoxedInput(Box::new(move || handle.get())))
}

fn rppal_pin(line: &GpioLine) -> Result<rppal::gpio::Pin, Error> {
    let failed =
        |e: rppal::gpio::Error| Error::invalid(format!("GPIO {}", line.line), e.to_string());
    let number = u8::try_from(line.line)
        .map_err(|_| Error::invalid(format!("GPIO {}", line.line), "no such line"))?;
    rppal::gpio::Gpio::new().and_then(|gpio| gpio.get(number)).map_err(failed)
}

/// Whether the line is the Pi's own and rppal can reach it (it maps `/dev/gpiomem`, which a kernel
/// may not offer).
fn is_raspberry(line: &GpioLine) -> bool {
    line.chip.starts_with(RASPBERRY_CHIP)
        && Path::new("/dev/gpiomem").exists()
        && fs::read_to_string(COMPATIBLE).is_ok_and(|text| text.contains("raspberrypi,"))
}

fn class_led(class: &Path, names: &[String]) -> Result<BoxedOutput, Error> {
    let directory = names
        .iter()
        .map(|name| class.join(name))
        .find(|path| path.join("brightness").exists())
        .ok_or_else(|| Error::invalid(class.display().to_string(), format!("none of {names:?}")))?;
    let _ = fs::write(directory.join("trigger"), "none");
    let brightness = directory.join("brightness");
    let name = brightness.display().to_string();
    let highest = fs::read_to_string(directory.join("max_brightness"))
        .ok()
        .and_then(|text| text.trim().parse::<u32>().ok())
        .unwrap_or(1);
    Ok(BoxedOutput(Box::new(move |on| {
        let value = if on { highest } else { 0 };
        fs::write(&brightness, value.to_string()).map_err(|e| Error::io("set", &name, e))
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_led_of_the_class_that_is_there() {
        let class = std::env::temp_dir().join(format!("holdfast-leds-{}", std::process::id()));
        let led = class.join("ACT");
        fs::create_dir_all(&led).unwrap();
        for (file, text) in [("brightness", "0"), ("max_brightness", "255\n"), ("trigger", "mmc0")]
        {
            fs::write(led.join(file), text).unwrap();
        }
        let mut pin = class_led(&class, &["led0".into(), "ACT".into()]).unwrap();
        pin.set_high().unwrap();
        assert_eq!(fs::read_to_string(led.join("brightness")).unwrap(), "255");
        pin.set_low().unwrap();
        assert_eq!(fs::read_to_string(led.join("brightness")).unwrap(), "0");
        assert_eq!(fs::read_to_string(led.join("trigger")).unwrap(), "none");
        fs::remove_dir_all(&class).unwrap();
        assert!(class_led(&class, &["ACT".into()]).is_err());
    }
}
