//! A serde deserializer over the parameters of a route.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use crate::request::Params;

/// Whose fault it is that the parameters are not the value asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PathError {
    /// The peer's: a value of another type.
    Value(String),
    /// The program's: the route has other parameters, or the type is none that parameters can give.
    Shape(String),
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(reason) | Self::Shape(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for PathError {}

impl de::Error for PathError {
    fn custom<T: fmt::Display>(reason: T) -> Self {
        Self::Value(reason.to_string())
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Shape(format!("the route has no parameter {field}"))
    }

    fn invalid_length(len: usize, expected: &dyn de::Expected) -> Self {
        Self::Shape(format!("the route has {len} parameters where {expected} is wanted"))
    }
}

/// All parameters: a map, a sequence, or (if there is one) a value.
#[derive(Clone, Copy)]
pub(super) struct ParamsDeserializer<'de> {
    params: &'de Params,
    path: &'de str,
}

impl<'de> ParamsDeserializer<'de> {
    pub(super) fn new(params: &'de Params, path: &'de str) -> Self {
        Self { params, path }
    }

    fn item(self, index: usize) -> Result<ValueDeserializer<'de>, PathError> {
        let name = self.params.name(index);
        match self.params.value(index, self.path) {
            Ok(value) => Ok(ValueDeserializer { name, value }),
            Err(_) => Err(PathError::Value(format!("the path parameter {name} is not UTF-8"))),
        }
    }

    fn single(self) -> Result<ValueDeserializer<'de>, PathError> {
        match self.params.len() {
            1 => self.item(0),
            count => Err(PathError::Shape(format!("the route has {count} parameters where one is wanted"))),
        }
    }

    fn expect_len(self, len: usize) -> Result<(), PathError> {
        match self.params.len() {
            count if count == len => Ok(()),
            count => {
                Err(PathError::Shape(format!("the route has {count} parameters where {len} are wanted")))
            }
        }
    }
}

macro_rules! forward_to_single {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PathError> {
            self.single()?.$method(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for ParamsDeserializer<'de> {
    type Error = PathError;

    forward_to_single! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32
        deserialize_f64 deserialize_char deserialize_str deserialize_string deserialize_bytes
        deserialize_byte_buf deserialize_identifier
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PathError> {
        self.deserialize_map(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PathError> {
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PathError> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, PathError> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, PathError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PathError> {
        visitor.visit_seq(Cursor { all: self, next: 0 })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, PathError> {
        self.expect_len(len)?;
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, PathError> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PathError> {
        visitor.visit_map(Cursor { all: self, next: 0 })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, PathError> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, PathError> {
        self.single()?.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PathError> {
        visitor.visit_unit()
    }
}

/// Walks over the parameters in their order.
struct Cursor<'de> {
    all: ParamsDeserializer<'de>,
    next: usize,
}

impl<'de> SeqAccess<'de> for Cursor<'de> {
    type Error = PathError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, PathError> {
        if self.next == self.all.params.len() {
            return Ok(None);
        }
        self.next += 1;
        seed.deserialize(self.all.item(self.next - 1)?).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.all.params.len() - self.next)
    }
}

impl<'de> MapAccess<'de> for Cursor<'de> {
    type Error = PathError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, PathError> {
        if self.next == self.all.params.len() {
            return Ok(None);
        }
        let name: StrDeserializer<'_, PathError> = self.all.params.name(self.next).into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, PathError> {
        self.next += 1;
        seed.deserialize(self.all.item(self.next - 1)?)
    }
}

/// One parameter.
struct ValueDeserializer<'de> {
    name: &'de str,
    value: &'de str,
}

impl ValueDeserializer<'_> {
    fn invalid(&self, wanted: &str) -> PathError {
        PathError::Value(format!("the path parameter {} is not a {wanted}", self.name))
    }

    fn composite(&self) -> PathError {
        PathError::Shape(format!("the path parameter {} is one value, not several", self.name))
    }
}

macro_rules! parse {
    ($($method:ident $visit:ident $type:ty;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PathError> {
            match self.value.parse::<$type>() {
                Ok(value) => visitor.$visit(value),
                Err(_) => Err(self.invalid(stringify!($type))),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for ValueDeserializer<'de> {
    type Error = PathError;

    parse! {
        deserialize_bool visit_bool bool;
        deserialize_i8 visit_i8 i8;
        deserialize_i16 visit_i16 i16;
        deserialize_i32 visit_i32 i32;
        deserialize_i64 visit_i64 i64;
        deserialize_i128 visit_i128 i128;
        deserialize_u8 visit_u8 u8;
        deserialize_u16 visit_u16 u16;
        deserialize_u32 visit_u32 u32;
        deserialize_u64 visit_u64 u64;
        deserialize_u128 visit_u128 u128;
        deserialize_f32 visit_f32 f32;
        deserialize_f64 visit_f64 f64;
        deserialize_char visit_char char;
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PathError> {
        visitor.visit_borrowed_str(self.value)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PathError> {
        visitor.visit_borrowed_bytes(self.value.as_bytes())
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PathError> {
        visitor.visit_borrowed_bytes(self.value.as_bytes())
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PathError> {
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, PathError> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, PathError> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, PathError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, _: V) -> Result<V::Value, PathError> {
        Err(self.composite())
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, PathError> {
        Err(self.composite())
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        _: V,
    ) -> Result<V::Value, PathError> {
        Err(self.composite())
    }

    fn deserialize_map<V: Visitor<'de>>(self, _: V) -> Result<V::Value, PathError> {
        Err(self.composite())
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, PathError> {
        Err(self.composite())
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, PathError> {
        visitor.visit_enum(self)
    }

    forward_to_deserialize_any! { str string identifier ignored_any }
}

impl<'de> EnumAccess<'de> for ValueDeserializer<'de> {
    type Error = PathError;
    type Variant = UnitVariant;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, UnitVariant), PathError> {
        let name: StrDeserializer<'de, PathError> = self.value.into_deserializer();
        Ok((seed.deserialize(name)?, UnitVariant))
    }
}

/// A variant named by a parameter: it has no content.
struct UnitVariant;

impl<'de> VariantAccess<'de> for UnitVariant {
    type Error = PathError;

    fn unit_variant(self) -> Result<(), PathError> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, PathError> {
        Err(PathError::custom("the variant has content"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, PathError> {
        Err(PathError::custom("the variant has content"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, PathError> {
        Err(PathError::custom("the variant has content"))
    }
}
