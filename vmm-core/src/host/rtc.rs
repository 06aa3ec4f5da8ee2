//! The machine's clock chip (MC146818): what time it is when the VMM starts.

use super::ports::{Hardware, Ports};
use crate::devices::UnixTime;

const INDEX: u16 = 0x70;
const DATA: u16 = 0x71;

const SECONDS: u8 = 0;
const MINUTES: u8 = 2;
const HOURS: u8 = 4;
const DAY: u8 = 7;
const MONTH: u8 = 8;
const YEAR: u8 = 9;
const REGISTER_A: u8 = 10;
const REGISTER_B: u8 = 11;

const UPDATE_IN_PROGRESS: u8 = 1 << 7;
const BINARY: u8 = 1 << 2;
const HOURS_24: u8 = 1 << 1;
const PM: u8 = 1 << 7;

/// Reads of register A before the chip is taken as absent: an update lasts 2 ms.
const PATIENCE: u32 = 100_000;

/// The time that the clock chip shows, as seconds since 1970; 0 without such a chip.
pub fn now() -> UnixTime {
    // SAFETY: the chip is the VMM's, and this is its only driver.
    UnixTime(read(&mut unsafe { Hardware::new() }).unwrap_or(0))
}

fn read(ports: &mut impl Ports) -> Option<u64> {
    let mut register = |index: u8| {
        ports.write_u8(INDEX, index);
        ports.read_u8(DATA)
    };
    (0..PATIENCE).find(|_| register(REGISTER_A) & UPDATE_IN_PROGRESS == 0)?;
    let [second, minute, hour, day, month, year] =
        [SECONDS, MINUTES, HOURS, DAY, MONTH, YEAR].map(&mut register);
    let mode = register(REGISTER_B);
    let number = |value: u8| {
        u64::from(if mode & BINARY != 0 {
            value
        } else {
            (value >> 4) * 10 + (value & 15)
        })
    };
    let hour = if mode & HOURS_24 != 0 {
        number(hour)
    } else {
        number(hour & !PM) % 12 + if hour & PM != 0 { 12 } else { 0 }
    };
    let days = days_since_1970(2000 + number(year), number(month), number(day))?;
    Some(((days * 24 + hour) * 60 + number(minute)) * 60 + number(second))
}

/// Days from 1970-01-01 to a date of the years 2000 to 2099.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    const BEFORE_MONTH: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    const TO_2000: u64 = 10_957;
    let before = BEFORE_MONTH.get(usize::try_from(month).ok()?.checked_sub(1)?)?;
    let since_2000 = year.checked_sub(2000)?;
    let is_leap = since_2000.is_multiple_of(4);
    let leap_days = since_2000.div_ceil(4) + u64::from(is_leap && month > 2);
    Some(TO_2000 + since_2000 * 365 + leap_days + before + day.checked_sub(1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_this_century_are_counted_from_1970() {
        for (date, days) in [
            ((2000, 1, 1), 10_957),
            ((2000, 2, 29), 11_016),
            ((2000, 3, 1), 11_017),
            ((2001, 1, 1), 11_323),
            ((2024, 12, 31), 20_088),
            ((2099, 12, 31), 47_481),
        ] {
            assert_eq!(
                days_since_1970(date.0, date.1, date.2),
                Some(days),
                "{date:?}"
            );
        }
        assert_eq!(days_since_1970(2000, 0, 1), None);
        assert_eq!(days_since_1970(2000, 13, 1), None);
        assert_eq!(days_since_1970(2000, 1, 0), None);
    }
}
