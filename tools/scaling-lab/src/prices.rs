//! What instances cost: only what the user says.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::Serialize;

use crate::{LabError, Outcome};

/// Dollars an hour of one instance type.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Price {
    /// On demand.
    pub(crate) on_demand: f64,
    /// Spot.
    pub(crate) spot: f64,
}

impl Price {
    /// What a simulated fleet cost.
    #[must_use]
    pub(crate) fn dollars(&self, outcome: &Outcome) -> f64 {
        (outcome.on_demand_seconds * self.on_demand + outcome.spot_seconds * self.spot) / 3600.0
    }
}

/// An instance type and its price, as `TYPE=DOLLARS` or `TYPE=DOLLARS:SPOT`; without a price of its own, spot costs as
/// much as on demand.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Priced {
    /// The type.
    pub(crate) instance_type: String,
    /// Its price.
    pub(crate) price: Price,
}

impl FromStr for Priced {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected =
            || format!("{text:?} is not a price of a type: expected TYPE=DOLLARS or TYPE=DOLLARS:SPOT, an hour");
        let (instance_type, dollars) = text.split_once('=').ok_or_else(expected)?;
        let (on_demand, spot) = dollars.split_once(':').unwrap_or((dollars, dollars));
        let number = |text: &str| {
            text.trim().parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0).ok_or_else(expected)
        };
        let instance_type = instance_type.trim();
        if instance_type.is_empty() {
            return Err(expected());
        }
        let price = Price { on_demand: number(on_demand)?, spot: number(spot)? };
        Ok(Self { instance_type: instance_type.to_owned(), price })
    }
}

/// A table of prices by type.
///
/// # Errors
/// If a type has two.
pub(crate) fn prices(priced: &[Priced]) -> Result<BTreeMap<String, Price>, LabError> {
    let mut table = BTreeMap::new();
    for Priced { instance_type, price } in priced {
        if table.insert(instance_type.clone(), *price).is_some() {
            return Err(LabError::Setting(format!("{instance_type} has two prices; give one")));
        }
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_has_a_type_and_dollars() {
        let priced: Priced = "c7a.large=0.1026".parse().expect("a price");
        assert_eq!(
            (priced.instance_type.as_str(), priced.price),
            ("c7a.large", Price { on_demand: 0.1026, spot: 0.1026 })
        );
        let priced: Priced = "c7a.large=0.1:0.04".parse().expect("a price");
        assert_eq!(priced.price.spot, 0.04);
        for wrong in ["0.1026", "=0.1026", "c7a.large=", "c7a.large=-1", "c7a.large=free", "c7a.large=1:x"] {
            assert!(wrong.parse::<Priced>().expect_err(wrong).contains("TYPE=DOLLARS"), "{wrong}");
        }
        assert!(prices(&[priced.clone(), priced]).expect_err("two").to_string().contains("two prices"));
    }
}
