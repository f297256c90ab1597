//! The closed set of causes that a diagnosis can name.

use schemars::JsonSchema;
use serde::Serialize;
use utoipa::ToSchema;

/// Why an execution failed or was slow.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum RootCause {
    /// The router knew no provider that could serve the request.
    NoHealthyProvider,
    /// The runner could not reach the router.
    RouterUnreachable,
    /// The runner gave up before it called anybody.
    ExecutorMissing,
    /// Modal refused the router's call; no function ran.
    ModalEndpointDown,
    /// The Modal function ran out of memory.
    ModalOutOfMemory,
    /// The Modal function could not load the model.
    ModalModelLoad,
    /// The Modal function does not know the model.
    ModalUnknownModel,
    /// The Modal function failed with any other exception.
    ModalException,
    /// The Modal function began and never ended; the router gave up.
    ModalTimeout,
    /// The router gave up although the Modal function finished.
    RouterTimeout,
    /// The router answered, the runner never received it.
    ResponseLost,
    /// Everybody below completed, the runner refused the answer.
    ResultRejected,
    /// The runner's request was cancelled from outside.
    Cancelled,
    /// Slow: Modal took long to begin.
    ColdStart,
    /// Slow: the router took long to begin.
    QueueWait,
    /// Slow: the inference itself took long.
    SlowInference,
    /// Nothing is wrong.
    None,
    /// The evidence does not single out a cause.
    Undetermined,
}

impl RootCause {
    /// The word of the JSON form.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoHealthyProvider => "no_healthy_provider",
            Self::RouterUnreachable => "router_unreachable",
            Self::ExecutorMissing => "executor_missing",
            Self::ModalEndpointDown => "modal_endpoint_down",
            Self::ModalOutOfMemory => "modal_out_of_memory",
            Self::ModalModelLoad => "modal_model_load",
            Self::ModalUnknownModel => "modal_unknown_model",
            Self::ModalException => "modal_exception",
            Self::ModalTimeout => "modal_timeout",
            Self::RouterTimeout => "router_timeout",
            Self::ResponseLost => "response_lost",
            Self::ResultRejected => "result_rejected",
            Self::Cancelled => "cancelled",
            Self::ColdStart => "cold_start",
            Self::QueueWait => "queue_wait",
            Self::SlowInference => "slow_inference",
            Self::None => "none",
            Self::Undetermined => "undetermined",
        }
    }

    /// A short name for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::NoHealthyProvider => "No healthy provider",
            Self::RouterUnreachable => "Router unreachable",
            Self::ExecutorMissing => "Executor missing",
            Self::ModalEndpointDown => "Modal endpoint down",
            Self::ModalOutOfMemory => "Modal out of memory",
            Self::ModalModelLoad => "Model could not be loaded",
            Self::ModalUnknownModel => "Unknown model",
            Self::ModalException => "Exception in the Modal function",
            Self::ModalTimeout => "Provider timeout",
            Self::RouterTimeout => "Router timeout",
            Self::ResponseLost => "Response lost",
            Self::ResultRejected => "Result rejected",
            Self::Cancelled => "Cancelled",
            Self::ColdStart => "Cold start",
            Self::QueueWait => "Queue wait",
            Self::SlowInference => "Slow inference",
            Self::None => "None",
            Self::Undetermined => "Undetermined",
        }
    }

    /// The service where the cause lies, where there is one.
    pub const fn service(self) -> Option<&'static str> {
        match self {
            Self::ExecutorMissing | Self::ResultRejected | Self::Cancelled => Some("runner"),
            Self::NoHealthyProvider
            | Self::RouterUnreachable
            | Self::RouterTimeout
            | Self::ResponseLost
            | Self::QueueWait => Some("router"),
            Self::ModalEndpointDown
            | Self::ModalOutOfMemory
            | Self::ModalModelLoad
            | Self::ModalUnknownModel
            | Self::ModalException
            | Self::ModalTimeout
            | Self::ColdStart
            | Self::SlowInference => Some("modal"),
            Self::None | Self::Undetermined => None,
        }
    }

    /// Whether it makes an execution slow without failing it.
    pub const fn is_slowness(self) -> bool {
        matches!(
            self,
            Self::ColdStart | Self::QueueWait | Self::SlowInference
        )
    }
}

impl std::fmt::Display for RootCause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}
