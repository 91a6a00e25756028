//! The page of metrics in each format, by prometheus-client.

use std::{
    fmt::{self, Write as _},
    sync::{Arc, Mutex},
};

use prometheus_client::{
    collector::Collector,
    encoding::{
        DescriptorEncoder, EncodeLabelSet, LabelSetEncoder, MetricEncoder, NativeHistogram,
        NativeHistogramBuckets, NoLabelSet, prometheus_protobuf, prometheus_text, text,
    },
    registry::Registry,
};

use super::{
    families::{self, Family, Sample, Value},
    format::Format,
    histogram::{Histogram, Scale},
    state::{State, lock},
};

/// Values up to this count as 0 in native histograms (2^-128): no other value is that near.
const ZERO: f64 = 2.938_735_877_055_719e-39;

/// Writes pages.
pub struct Pages {
    registry: Registry,
}

impl Pages {
    /// Of this state.
    #[must_use]
    pub fn of(state: Arc<Mutex<State>>) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Families(state)));
        Self { registry }
    }

    /// The page in a format.
    ///
    /// # Errors
    ///
    /// When a metric cannot be encoded.
    pub fn page(&self, format: Format) -> Result<Vec<u8>, prometheus_protobuf::EncodeError> {
        let mut text = String::new();
        match format {
            Format::OpenMetrics => text::encode(&mut text, &self.registry)?,
            Format::Text => prometheus_text::encode(&mut text, &self.registry)?,
            Format::Protobuf => return prometheus_protobuf::encode_to_vec(&self.registry),
        }
        Ok(text.into_bytes())
    }
}

/// The table of families, as the library asks for it.
struct Families(Arc<Mutex<State>>);

impl fmt::Debug for Families {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Families")
    }
}

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let state = lock(&self.0);
        for family in families::all() {
            let mut samples = Vec::new();
            (family.samples)(&state, &mut samples);
            write(family, &samples, &mut encoder)?;
        }
        Ok(())
    }
}

/// Writes a family; nothing of one without series.
fn write(
    family: &Family,
    samples: &[Sample<'_>],
    encoder: &mut DescriptorEncoder<'_>,
) -> fmt::Result {
    if samples.is_empty() {
        return Ok(());
    }
    let unit = family.unit.as_ref();
    let mut metric = encoder.encode_descriptor(family.name, family.help, unit, family.kind)?;
    for sample in samples {
        let labels = Labels(sample);
        if let Value::Info = sample.value {
            metric.encode_info(&labels)?;
            continue;
        }
        if sample.place.is_none() && sample.labels.is_empty() {
            value(family, &sample.value, &mut metric)?;
        } else {
            value(family, &sample.value, &mut metric.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn value(family: &Family, value: &Value<'_>, metric: &mut MetricEncoder<'_>) -> fmt::Result {
    use prometheus_client::metrics::MetricType::Counter;
    match (value, family.kind) {
        (Value::Count(count), Counter) => metric.encode_counter::<NoLabelSet, _, f64>(count, None),
        (Value::Number(number), Counter) => {
            metric.encode_counter::<NoLabelSet, _, f64>(number, None)
        }
        (Value::Count(count), _) => metric.encode_gauge(count),
        (Value::Number(number), _) => metric.encode_gauge(number),
        (Value::Histogram(histogram, scale), _) => distribution(histogram, scale, metric),
        (Value::Info, _) => Ok(()),
    }
}

fn distribution(
    histogram: &Histogram,
    scale: &Scale,
    metric: &mut MetricEncoder<'_>,
) -> fmt::Result {
    let (spans, deltas) = histogram.native_buckets();
    let native = NativeHistogram {
        schema: scale.schema,
        zero_threshold: ZERO,
        zero_count: histogram.zero,
        negative: NativeHistogramBuckets { spans: &[], deltas: &[] },
        positive: NativeHistogramBuckets { spans: &spans, deltas: &deltas },
        created: None,
    };
    let classic = histogram.classic_buckets(scale);
    metric.encode_histogram_with_native::<NoLabelSet>(
        histogram.sum,
        histogram.count,
        &classic,
        None,
        native,
    )
}

/// Labels of a series. One with no value is left out, which is the same to Prometheus.
struct Labels<'a>(&'a Sample<'a>);

impl EncodeLabelSet for Labels<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        for (name, value) in self.0.place.iter().flat_map(|place| place.labels()) {
            label(encoder, name, &value)?;
        }
        for (name, value) in &self.0.labels {
            label(encoder, name, value)?;
        }
        Ok(())
    }
}

fn label(encoder: &mut LabelSetEncoder<'_>, name: &str, value: &str) -> fmt::Result {
    if value.is_empty() {
        return Ok(());
    }
    let mut label = encoder.encode_label();
    let mut key = label.encode_label_key()?;
    key.write_str(name)?;
    let mut written = key.encode_label_value()?;
    // The library escapes it.
    written.write_str(value)?;
    written.finish()
}

#[cfg(test)]
mod tests;
