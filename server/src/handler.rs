//! [`Handler`]: the functions that answer requests.

use crate::context::Context;
use crate::extract::FromRequest;
use crate::into_response::IntoResponse;
use crate::response::Response;

/// A function that answers requests.
///
/// Two shapes are handlers, both returning any [`IntoResponse`]:
///
/// - `fn(&mut Context) -> R`;
/// - `fn(T1, .., Tn) -> R` with 0 to 8 extractors, each a [`FromRequest`], run in order; the first that refuses
///   answers the request.
///
/// Closures are handlers too, with their argument types written out. A handler runs as a fiber on the worker's thread:
/// it may block on fiber IO, need not be `Send`, and long computations belong into `submit`.
///
/// The parameter `M` tells the shapes apart and is always inferred.
///
/// ```
/// use sws::{Context, IntoResponse, Path, Router, TestClient};
///
/// fn with_context(ctx: &mut Context) -> impl IntoResponse {
///     format!("path {}", ctx.request().path())
/// }
///
/// fn with_extractors(Path((a, b)): Path<(u32, u32)>) -> String {
///     (a + b).to_string()
/// }
///
/// let client = TestClient::new(
///     Router::new()
///         .get("/path", with_context)
///         .get("/sum/{a}/{b}", with_extractors)
///         .get("/hello", || "Hello"),
/// );
/// assert_eq!(client.get("/path").send().text(), "path /path");
/// assert_eq!(client.get("/sum/2/3").send().text(), "5");
/// assert_eq!(client.get("/hello").send().text(), "Hello");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    note = "a handler is `fn(&mut Context) -> impl IntoResponse`, or a function of up to 8 arguments that are all `FromRequest` \
            and that returns `impl IntoResponse`",
    note = "`State<T>` is `FromRequest` if `T: Clone`, `Json<T>` if `T: DeserializeOwned`; `Json<T>` is `IntoResponse` if `T: Serialize`; \
            handlers are not `async`: they wait where they stand"
)]
pub trait Handler<M>: 'static {
    /// Answers the request.
    fn call(&self, ctx: &mut Context) -> Response;
}

/// Marks handlers that take the [`Context`].
#[derive(Debug)]
pub struct ByContext;

/// Marks handlers that take the extractors of the tuple `T`.
#[derive(Debug)]
pub struct ByExtractors<T>(std::marker::PhantomData<T>);

/// A function of the context, for one lifetime of its argument: what it returns may borrow from the context, as an
/// `impl IntoResponse` does in the eyes of the compiler.
pub trait ContextFn<'a> {
    /// Calls the function.
    fn answer(&self, ctx: &'a mut Context) -> Response;
}

impl<'a, F, R> ContextFn<'a> for F
where
    F: Fn(&'a mut Context) -> R,
    R: IntoResponse,
{
    fn answer(&self, ctx: &'a mut Context) -> Response {
        self(ctx).into_response()
    }
}

impl<F> Handler<ByContext> for F
where
    F: for<'a> ContextFn<'a> + 'static,
{
    fn call(&self, ctx: &mut Context) -> Response {
        self.answer(ctx)
    }
}

macro_rules! by_extractors {
    ($($name:ident),*) => {
        impl<F, R, $($name),*> Handler<ByExtractors<($($name,)*)>> for F
        where
            F: Fn($($name),*) -> R + 'static,
            R: IntoResponse,
            $($name: FromRequest,)*
        {
            #[allow(non_snake_case, unused_variables)]
            fn call(&self, ctx: &mut Context) -> Response {
                $(
                    let $name = match $name::from_request(ctx) {
                        Ok(value) => value,
                        Err(rejection) => return rejection.into_response(),
                    };
                )*
                self($($name),*).into_response()
            }
        }
    };
}

by_extractors!();
by_extractors!(T1);
by_extractors!(T1, T2);
by_extractors!(T1, T2, T3);
by_extractors!(T1, T2, T3, T4);
by_extractors!(T1, T2, T3, T4, T5);
by_extractors!(T1, T2, T3, T4, T5, T6);
by_extractors!(T1, T2, T3, T4, T5, T6, T7);
by_extractors!(T1, T2, T3, T4, T5, T6, T7, T8);

#[cfg(test)]
#[path = "handler_tests.rs"]
mod tests;
