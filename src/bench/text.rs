//! Numbers and names as reports print them.

/// Three significant digits in the unit that suits: 12.3 us, 4.56 ms, 1.20 s.
pub fn time(us: f64) -> String {
    match us {
        us if us < 1.0 => format!("{:.0} ns", us * 1e3),
        us if us < 1e3 => format!("{} us", three_digits(us)),
        us if us < 1e6 => format!("{} ms", three_digits(us / 1e3)),
        us => format!("{} s", three_digits(us / 1e6)),
    }
}

/// Three significant digits, no exponent; all digits before the point.
pub fn three_digits(x: f64) -> String {
    match x.abs() {
        a if a >= 100.0 => format!("{x:.0}"),
        a if a >= 10.0 => format!("{x:.1}"),
        a if a >= 1.0 => format!("{x:.2}"),
        a if a > 0.0 => format!("{x:.3}"),
        _ => "0".into(),
    }
}

/// Three significant digits with a prefix of thousands: 1.23 k, 45.6 M.
pub fn short(x: f64) -> String {
    let units = ["", " k", " M", " G", " T"];
    let power = if x >= 1.0 { ((x.log10() / 3.0) as usize).min(units.len() - 1) } else { 0 };
    format!("{}{}", three_digits(x / 1e3f64.powi(power as i32)), units[power])
}

/// The same with a unit: 1.23 kFLOP, 638 B.
pub fn short_with(x: f64, unit: &str) -> String {
    let number = short(x);
    if number.contains(' ') { number + unit } else { format!("{number} {unit}") }
}

/// A whole number with a comma between each three digits.
pub fn grouped(x: impl std::fmt::Display) -> String {
    let digits = format!("{x:.0}");
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The UTC date and time of a number of seconds after 1970, as 2026-01-31T12:00:00Z.
pub fn date(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days in eras of 400 years that begin in March, so that a leap day ends its year.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + 400 * era + u64::from(month <= 2);
    let (h, m, s) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_three_digits() {
        assert_eq!([0.5, 12.345, 1234.5, 2.5e6].map(time), ["500 ns", "12.3 us", "1.23 ms", "2.50 s"]);
        assert_eq!([0.0, 0.1234, 999.0, 1234.0, 5e9].map(short), ["0", "0.123", "999", "1.23 k", "5.00 G"]);
        assert_eq!([638.0, 1234.0].map(|x| short_with(x, "B")), ["638 B", "1.23 kB"]);
        assert_eq!(grouped(1_234_567.4), "1,234,567");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01T00:00:00Z");
        assert_eq!(date(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(date(1_798_761_599), "2026-12-31T23:59:59Z");
    }
}
