//! What energy costs.

use std::str::FromStr;

/// A price of a kilowatt-hour.
#[derive(Debug, Clone, PartialEq)]
pub struct Price {
    /// In the currency's unit.
    pub per_kilowatt_hour: f64,
    /// As it was typed; empty where none was.
    pub currency: String,
}

impl Price {
    /// What a power costs in a day.
    #[must_use]
    pub fn per_day(&self, watts: f64) -> f64 {
        watts / 1000.0 * 24.0 * self.per_kilowatt_hour
    }
}

impl FromStr for Price {
    type Err = String;

    /// `0.30/kWh`, `0.30 EUR/kWh`, `€0.30`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "write a price such as 0.30/kWh or 0.30 EUR/kWh".to_owned();
        let text = text.trim();
        let text = match text.split_once('/') {
            Some((price, unit)) if unit.trim().eq_ignore_ascii_case("kwh") => price,
            Some(_) => return Err(wrong()),
            None => text,
        };
        let is_figure = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-');
        let first = text.find(is_figure).ok_or_else(wrong)?;
        let (before, rest) = text.split_at(first);
        let number = rest.trim_end_matches(|c| !is_figure(c));
        let after = &rest[number.len()..];
        let amount: f64 = number.parse().map_err(|_| wrong())?;
        let currency = match (before.trim(), after.trim()) {
            ("", currency) | (currency, "") => currency.to_owned(),
            _ => return Err(wrong()),
        };
        let is_currency = currency.chars().count() <= 8 && !currency.contains(char::is_control);
        if !(0.0..=1e6).contains(&amount) || !is_currency {
            return Err(wrong());
        }
        Ok(Self { per_kilowatt_hour: amount, currency })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_has_a_currency_on_either_side_or_none() {
        for (text, amount, currency) in [
            ("0.30/kWh", 0.3, ""),
            ("0.30", 0.3, ""),
            ("0.30 EUR/kWh", 0.3, "EUR"),
            ("EUR 0.30 / kwh", 0.3, "EUR"),
            ("€0.30", 0.3, "€"),
            ("0", 0.0, ""),
        ] {
            let price: Price = text.parse().unwrap();
            assert_eq!((price.per_kilowatt_hour, price.currency.as_str()), (amount, currency));
        }
        for text in ["", "EUR", "-1", "0.30/MWh", "1e9/kWh", "nan", "0.3.1", "0.30 doubloons/kWh"] {
            let error = text.parse::<Price>().unwrap_err();
            assert!(error.contains("0.30 EUR/kWh"), "{text}");
        }
        assert!(("0.30".parse::<Price>().unwrap().per_day(500.0) - 3.6).abs() < 1e-9);
    }
}
