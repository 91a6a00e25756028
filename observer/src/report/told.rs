//! A listener as reports tell it. Of most there is nothing new to tell: reports share it then, with
//! its JSON, which with thousands of listeners is most of the work of a report.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, OnceLock},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::Error as _};
use serde_json::value::{RawValue, to_raw_value};

use crate::report::model::Listener;

/// A listener that may be part of several reports. A change is a change of the one report.
#[derive(Clone, Debug)]
pub struct Told(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    listener: Listener,
    json: OnceLock<Box<RawValue>>,
}

impl Told {
    /// Whether both are the same by origin, and not only equal.
    #[must_use]
    pub fn is_shared_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The listener's JSON, made once for all reports that share it.
    ///
    /// # Errors
    ///
    /// None but those of JSON, which can express all of it.
    pub fn json(&self) -> serde_json::Result<&str> {
        self.raw().map(RawValue::get)
    }

    fn raw(&self) -> serde_json::Result<&RawValue> {
        match self.0.json.get() {
            Some(json) => Ok(json),
            None => {
                let json = to_raw_value(&self.0.listener)?;
                Ok(self.0.json.get_or_init(|| json))
            }
        }
    }
}

impl From<Listener> for Told {
    fn from(listener: Listener) -> Self {
        Self(Arc::new(Inner { listener, json: OnceLock::new() }))
    }
}

impl Clone for Inner {
    fn clone(&self) -> Self {
        Self { listener: self.listener.clone(), json: OnceLock::new() }
    }
}

impl PartialEq for Told {
    fn eq(&self, other: &Self) -> bool {
        self.is_shared_with(other) || self.0.listener == other.0.listener
    }
}

impl Deref for Told {
    type Target = Listener;

    fn deref(&self) -> &Listener {
        &self.0.listener
    }
}

impl DerefMut for Told {
    fn deref_mut(&mut self) -> &mut Listener {
        let inner = Arc::make_mut(&mut self.0);
        inner.json = OnceLock::new();
        &mut inner.listener
    }
}

impl Serialize for Told {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.raw().map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Told {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Listener::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use crate::view::table::fixtures;

    #[test]
    fn a_change_is_told_and_is_one_of_its_own() {
        let first = fixtures::herd(2).listeners.remove(0);
        let json = serde_json::to_string(&first).expect("JSON");
        assert_eq!(json, serde_json::to_string(&*first).expect("JSON"));
        let mut second = first.clone();
        assert!(second.is_shared_with(&first));
        second.queued += 1;
        assert!(!second.is_shared_with(&first));
        assert_ne!(second, first);
        assert_ne!(serde_json::to_string(&second).expect("JSON"), json);
        assert_eq!(serde_json::to_string(&first).expect("JSON"), json);
        second.queued -= 1;
        assert_eq!(second, first);
        assert_eq!(serde_json::to_string(&second).expect("JSON"), json);
    }
}
