//! When an alarm of hour, minute and second matches next.

/// One field of an alarm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Field {
    Any,
    Exactly(u8),
    /// The register holds no number.
    Never,
}

impl Field {
    /// The first match in `from..end`.
    fn first(self, from: u32, end: u32) -> Option<u32> {
        let value = match self {
            Self::Any => from,
            Self::Exactly(value) => u32::from(value),
            Self::Never => return None,
        };
        (from..end).contains(&value).then_some(value)
    }
}

/// The three alarm registers, decoded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alarm {
    pub hour: Field,
    pub minute: Field,
    pub second: Field,
}

impl Alarm {
    /// Seconds from a second of the day to the next match, 1 to 86400; None if it never matches.
    pub fn seconds_after(self, second: u32) -> Option<u64> {
        const DAY: u32 = 86_400;
        let today = self.first_from(second + 1);
        let at = today.or_else(|| Some(self.first_from(0)? + DAY))?;
        Some(u64::from(at - second))
    }

    /// The first match of the day that is not before second `from`.
    fn first_from(self, from: u32) -> Option<u32> {
        let (hour, minute, second) = (from / 3600, from / 60 % 60, from % 60);
        self.at(hour, minute, second)
            .or_else(|| self.at(hour, minute + 1, 0))
            .or_else(|| self.at(hour + 1, 0, 0))
    }

    /// The first match from here on, where hour, minute and second each only move forward.
    fn at(self, hour: u32, minute: u32, second: u32) -> Option<u32> {
        let found_hour = self.hour.first(hour, 24)?;
        let minute = if found_hour > hour { 0 } else { minute };
        let found_minute = self.minute.first(minute, 60)?;
        let later = found_hour > hour || found_minute > minute;
        let second = self.second.first(if later { 0 } else { second }, 60)?;
        Some(found_hour * 3600 + found_minute * 60 + second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn field(most: u8) -> impl Strategy<Value = Field> {
        prop_oneof![
            Just(Field::Any),
            (0..=most).prop_map(Field::Exactly),
            Just(Field::Never)
        ]
    }

    /// The definition, by trying every second of the day.
    fn by_search(alarm: Alarm, second: u32) -> Option<u64> {
        let is = |field, value: u32| match field {
            Field::Any => true,
            Field::Exactly(wanted) => u32::from(wanted) == value,
            Field::Never => false,
        };
        (1..=86_400u32)
            .find(|after| {
                let at = (second + after) % 86_400;
                is(alarm.hour, at / 3600)
                    && is(alarm.minute, at / 60 % 60)
                    && is(alarm.second, at % 60)
            })
            .map(u64::from)
    }

    proptest! {
        #[test]
        fn the_next_match_is_the_one_a_search_finds(
            hour in field(25), minute in field(61), second in field(61), now in 0..86_400u32
        ) {
            let alarm = Alarm { hour, minute, second };
            prop_assert_eq!(alarm.seconds_after(now), by_search(alarm, now));
        }
    }
}
