//! The Gregorian calendar, as far as a clock needs it.

use crate::devices::time::UnixTime;

/// Seconds in a day.
pub(super) const DAY: u64 = 86_400;

/// Days from the first of March of year 0 to 1970-01-01. Years that begin in March have their
/// leap day at the end, which makes the arithmetic below free of exceptions.
const DAYS_TO_1970: u64 = 719_468;
/// Days in 400, 100 and 4 years, and in one.
const DAYS_400: u64 = 146_097;
const DAYS_100: u64 = 36_524;
const DAYS_4: u64 = 1_461;
const DAYS_1: u64 = 365;

/// A date and the time of day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct DateTime {
    pub year: u64,
    /// 1-12.
    pub month: u8,
    /// 1-31.
    pub day: u8,
    /// Second of the day.
    pub second: u32,
}

impl DateTime {
    pub fn new(time: UnixTime) -> Self {
        Self::of_days(time.0 / DAY + DAYS_TO_1970, (time.0 % DAY) as u32)
    }

    /// From days since the first of March of year 0.
    fn of_days(days: u64, second: u32) -> Self {
        let era = days / DAYS_400;
        let day = days % DAYS_400;
        // The last day of a century and of a leap cycle belong to the year before.
        let century = (day / DAYS_100).min(3);
        let day = day - century * DAYS_100;
        let cycle = day / DAYS_4;
        let day = day % DAYS_4;
        let year = (day / DAYS_1).min(3);
        let day = day - year * DAYS_1;
        // Months from March: 31 30 31 30 31 repeats every 153 days.
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5;
        let next_year = month >= 10;
        Self {
            year: era * 400 + century * 100 + cycle * 4 + year + u64::from(next_year),
            month: (if next_year { month - 9 } else { month + 3 }) as u8,
            day: day as u8 + 1,
            second,
        }
    }

    /// Days since the first of March of year 0; a day beyond its month's end counts on.
    fn days(self) -> u64 {
        let month = u64::from(self.month);
        // January and February end the year before; those of year 0 count as March.
        let (year, month) = match (month < 3, self.year.checked_sub(1)) {
            (true, Some(year)) => (year, month + 9),
            (true, None) => (0, 0),
            (false, _) => (self.year, month - 3),
        };
        year * 365 + year / 4 - year / 100
            + year / 400
            + (153 * month + 2) / 5
            + u64::from(self.day.max(1))
            - 1
    }

    /// `seconds` later, and how many midnights lie between.
    pub fn after(self, seconds: u64) -> (Self, u64) {
        let second = u64::from(self.second).saturating_add(seconds);
        let midnights = second / DAY;
        let later = Self::of_days(self.days() + midnights, (second % DAY) as u32);
        (later, midnights)
    }

    /// Day of the week, 1 = Sunday.
    pub fn weekday(self) -> u8 {
        // The first of March of year 0 was a Wednesday.
        ((self.days() + 3) % 7) as u8 + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn date(unix: u64) -> (u64, u8, u8, u32, u8) {
        let d = DateTime::new(UnixTime(unix));
        (d.year, d.month, d.day, d.second, d.weekday())
    }

    #[test]
    fn known_dates_are_right() {
        assert_eq!(date(0), (1970, 1, 1, 0, 5));
        assert_eq!(date(951_782_400), (2000, 2, 29, 0, 3));
        assert_eq!(date(1_709_251_199), (2024, 2, 29, 86_399, 5));
        assert_eq!(date(1_704_067_199), (2023, 12, 31, 86_399, 1));
        assert_eq!(date(4_107_542_400), (2100, 3, 1, 0, 2));
    }

    proptest! {
        #[test]
        fn adding_seconds_is_the_same_as_starting_later(start in 0..1u64 << 40, more in 0..1u64 << 40) {
            let (later, midnights) = DateTime::new(UnixTime(start)).after(more);
            prop_assert_eq!(later, DateTime::new(UnixTime(start + more)));
            prop_assert_eq!(midnights, (start + more) / DAY - start / DAY);
        }

        #[test]
        fn every_date_is_on_the_calendar(unix: u64) {
            let d = DateTime::new(UnixTime(unix));
            prop_assert!((1..=12).contains(&d.month) && (1..=31).contains(&d.day));
        }
    }
}
