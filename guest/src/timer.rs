//! What the interval timer divides its clock by.

/// The timer's input clock, in Hz.
pub const CLOCK_HZ: u32 = 1_193_182;
/// The rate when nobody asks for another, in Hz.
pub const DEFAULT_HZ: u32 = 100;
/// The lowest rate that a 16-bit divisor reaches, in Hz.
pub const LOWEST_HZ: u32 = CLOCK_HZ.div_ceil(0x1_0000);
/// The highest rate offered, in Hz; beyond it ticks would be all the kernel does.
pub const HIGHEST_HZ: u32 = 10_000;

/// The divisor nearest to `hz`, which is first brought into the range offered.
pub const fn divisor(hz: u32) -> u16 {
    let hz = if hz < LOWEST_HZ {
        LOWEST_HZ
    } else if hz > HIGHEST_HZ {
        HIGHEST_HZ
    } else {
        hz
    };
    ((CLOCK_HZ + hz / 2) / hz) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_hundred_ticks_a_second_divide_by_11932() {
        assert_eq!(divisor(DEFAULT_HZ), 11932);
    }

    proptest! {
        #[test]
        fn any_rate_has_a_divisor_and_one_in_range_is_met_to_one_percent(hz: u32) {
            let divisor = u32::from(divisor(hz));
            prop_assert!(divisor > 1);
            if (LOWEST_HZ..=HIGHEST_HZ).contains(&hz) {
                let got = CLOCK_HZ as f64 / f64::from(divisor);
                prop_assert!((got / f64::from(hz) - 1.0).abs() < 0.01);
            }
        }
    }
}
