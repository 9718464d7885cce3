//! Lists of a known length at most, from JSON that nobody vouches for.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// An array of `MOST` items at most.
#[derive(Debug)]
pub(super) struct List<T, const MOST: usize>(pub(super) Vec<T>);

/// The values of an object with `MOST` members at most; their names are left out.
#[derive(Debug)]
pub(super) struct Values<T, const MOST: usize>(pub(super) Vec<T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for List<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Bounded::<T, MOST>(PhantomData)).map(Self)
    }
}

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for Values<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Bounded::<T, MOST>(PhantomData)).map(Self)
    }
}

struct Bounded<T, const MOST: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for Bounded<T, MOST> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {MOST} items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
        let mut kept = Vec::new();
        while let Some(item) = items.next_element()? {
            if kept.len() == MOST {
                return Err(A::Error::invalid_length(MOST + 1, &self));
            }
            kept.push(item);
        }
        Ok(kept)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Vec<T>, A::Error> {
        let mut kept = Vec::new();
        while let Some((IgnoredAny, value)) = members.next_entry()? {
            if kept.len() == MOST {
                return Err(A::Error::invalid_length(MOST + 1, &self));
            }
            kept.push(value);
        }
        Ok(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_items_than_allowed_are_refused() {
        let list = |text| serde_json::from_str::<List<u8, 3>>(text).map(|list| list.0);
        assert_eq!(list("[1,2,3]").unwrap(), [1, 2, 3]);
        assert_eq!(list("[]").unwrap(), [0; 0]);
        let error = list("[1,2,3,4]").unwrap_err().to_string();
        assert!(error.starts_with("invalid length 4, expected at most 3 items"), "{error}");
        assert!(list("{\"a\":1}").is_err());
        assert!(list("[1,\"2\"]").is_err());

        let values = |text| serde_json::from_str::<Values<u8, 2>>(text).map(|values| values.0);
        assert_eq!(values("{\"b\":1,\"a\":2}").unwrap(), [1, 2]);
        assert!(values("{\"a\":1,\"b\":2,\"c\":3}").is_err());
        assert!(values("[1]").is_err());
    }
}
