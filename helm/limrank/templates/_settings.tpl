{{- /*
Every setting of limrank-serve that this chart knows, as JSON: environment name -> value, null and "" where nothing is
set. A new knob of the service is one line here, one in values.yaml and one in values.schema.json.
LIMRANK_CACHE_DIR is left to the image, which may carry the embedded model prepared.
*/}}
{{- define "limrank.knobs" -}}
{{- $v := .Values -}}
{{- dict
  "LIMRANK_HOST" $v.listenAddress
  "LIMRANK_PORT" $v.containerPort
  "LIMRANK_ROOT_PATH" $v.rootPath
  "LIMRANK_CORS_ORIGINS" (join "," $v.corsOrigins)
  "LIMRANK_PLAYGROUND" (empty $v.playground | ternary "" $v.playground)
  "LIMRANK_METRICS_PORT" (ternary $v.metrics.port "" (gt (int $v.metrics.port) 0))
  "LIMRANK_ENGINE" $v.engine.name
  "LIMRANK_MODEL" (ternary (printf "/models/%s" $v.model.path) $v.model.name (not (empty $v.model.path)))
  "LIMRANK_MODEL_REVISION" $v.model.revision
  "LIMRANK_FORMAT" $v.model.format
  "LIMRANK_CALIBRATION" (join "," $v.model.calibration)
  "LIMRANK_STRICT_MODEL" (ternary "true" "" $v.model.strict)
  "LIMRANK_FIRST_STAGE" $v.model.firstStage
  "LIMRANK_FIRST_STAGE_KEEP" $v.scoring.firstStageKeep
  "LIMRANK_FIRST_STAGE_WEIGHT" $v.scoring.firstStageWeight
  "LIMRANK_SERVED_NAME" $v.model.servedName
  "LIMRANK_MODEL_ALIASES" (join "," $v.model.aliases)
  "LIMRANK_QUERY_PROMPT" $v.model.queryPrompt
  "LIMRANK_PASSAGE_PROMPT" $v.model.passagePrompt
  "LIMRANK_DTYPE" $v.engine.dtype
  "LIMRANK_DEVICE" $v.engine.device
  "LIMRANK_THREADS" $v.engine.threads
  "LIMRANK_WINDOW" $v.engine.window
  "LIMRANK_TENSOR_PARALLEL_SIZE" $v.engine.vllm.tensorParallelSize
  "LIMRANK_DATA_PARALLEL_SIZE" $v.engine.vllm.dataParallelSize
  "LIMRANK_QUANTIZATION" $v.engine.vllm.quantization
  "LIMRANK_GPU_MEMORY_UTILIZATION" $v.engine.vllm.gpuMemoryUtilization
  "LIMRANK_MAX_MODEL_LEN" $v.engine.vllm.maxModelLen
  "LIMRANK_MAX_NUM_BATCHED_TOKENS" $v.engine.vllm.maxNumBatchedTokens
  "LIMRANK_MAX_NUM_SEQS" $v.engine.vllm.maxNumSeqs
  "LIMRANK_STUCK_AFTER" $v.engine.vllm.stuckAfterSeconds
  "LIMRANK_VLLM_ARGS" (empty $v.engine.vllm.args | ternary "" (toJson $v.engine.vllm.args))
  "LIMRANK_MODE" $v.scoring.mode
  "LIMRANK_DEFAULT_REASONING_TOKENS" $v.scoring.defaultReasoningTokens
  "LIMRANK_MAX_REASONING_TOKENS" $v.scoring.maxReasoningTokens
  "LIMRANK_DEFAULT_REASONING_BUDGET" $v.scoring.defaultReasoningBudget
  "LIMRANK_MAX_REASONING_BUDGET" $v.scoring.maxReasoningBudget
  "LIMRANK_MAX_TOKENS_PER_DOC" $v.scoring.maxTokensPerDoc
  "LIMRANK_LONG_DOCUMENTS" $v.scoring.longDocuments
  "LIMRANK_CHUNK_TOKENS" $v.scoring.chunkTokens
  "LIMRANK_CHUNK_OVERLAP" $v.scoring.chunkOverlap
  "LIMRANK_MIN_PASSAGE_SHARE" $v.scoring.minPassageShare
  "LIMRANK_MAX_DOCUMENTS" $v.limits.maxDocuments
  "LIMRANK_MAX_BATCH_REQUESTS" $v.limits.maxBatchRequests
  "LIMRANK_MAX_BODY_BYTES" $v.limits.maxBodyBytes
  "LIMRANK_BODY_TIMEOUT_SECONDS" $v.limits.bodyTimeoutSeconds
  "LIMRANK_MAX_HELD_BYTES" $v.limits.maxHeldBytes
  "LIMRANK_MAX_CONNECTIONS" $v.limits.maxConnections
  "LIMRANK_MAX_QUEUED_DOCUMENTS" $v.limits.maxQueuedDocuments
  "LIMRANK_MAX_QUEUED_TOKENS" $v.limits.maxQueuedTokens
  "LIMRANK_SCORE_CACHE_BYTES" $v.limits.scoreCacheBytes
  "LIMRANK_REQUEST_TIMEOUT_SECONDS" $v.limits.requestTimeoutSeconds
  "LIMRANK_DOCUMENTS_PER_MINUTE" $v.limits.documentsPerMinute
  "LIMRANK_DRAIN_DELAY" $v.shutdown.drainDelaySeconds
  "LIMRANK_DRAIN_BUDGET" $v.shutdown.drainBudgetSeconds
  "LIMRANK_KEYS_FILE" (ternary "/etc/limrank/keys/keys.toml" "" $v.auth.enabled)
  "LIMRANK_ALLOW_ANONYMOUS" (not $v.auth.enabled)
  "LIMRANK_LOG_LEVEL" $v.log.level
  "LIMRANK_LOG_TEXTS" $v.log.texts
  "LIMRANK_OTLP_ENDPOINT" $v.tracing.otlpEndpoint
  "LIMRANK_TRACE_SAMPLE_RATIO" $v.tracing.sampleRatio
  | toJson -}}
{{- end }}

{{- /* The environment of the libraries beneath: caches in writable places, no hub, no telemetry. */}}
{{- define "limrank.surroundings" -}}
HOME: /cache/home
USER: limrank
TMPDIR: /tmp
XDG_CACHE_HOME: /cache
HF_HOME: {{ ternary "/models/huggingface" "/cache/huggingface" (not (empty (include "limrank.mountsModels" .))) }}
HF_MODULES_CACHE: /cache/huggingface-modules
HF_HUB_OFFLINE: "1"
HF_HUB_DISABLE_TELEMETRY: "1"
TRANSFORMERS_OFFLINE: "1"
DO_NOT_TRACK: "1"
VLLM_DO_NOT_TRACK: "1"
VLLM_NO_USAGE_STATS: "1"
VLLM_CACHE_ROOT: /cache/vllm
TRITON_CACHE_DIR: /cache/triton
TORCHINDUCTOR_CACHE_DIR: /cache/inductor
{{- end }}

{{- /* What goes into the ConfigMap: the settings that are set, and the surroundings. */}}
{{- define "limrank.environment" -}}
{{- range $name, $value := include "limrank.knobs" . | fromJson }}
{{- $text := include "limrank.plain" $value }}
{{- if $text }}
{{ $name }}: {{ $text | quote }}
{{- end }}
{{- end }}
{{ include "limrank.surroundings" . }}
{{- end }}

{{- /* A value as text. Helm reads every number as a float and would print 20000000 as 2e+07. */}}
{{- define "limrank.plain" -}}
{{- if kindIs "float64" . }}
{{- if eq (floor .) . }}{{ int64 . }}{{ else }}{{ . }}{{ end }}
{{- else if not (kindIs "invalid" .) }}
{{- . }}
{{- end }}
{{- end }}

{{- /* The CPU threads of the model where no value states them: what the container may use, not the node's cores. */}}
{{- define "limrank.threads" -}}
{{- $limits := .Values.resources.limits | default dict }}
{{- $requests := .Values.resources.requests | default dict }}
{{- if and (kindIs "invalid" .Values.engine.threads) (or $limits.cpu $requests.cpu) }}
- name: LIMRANK_THREADS
  valueFrom:
    resourceFieldRef:
      containerName: limrank
      resource: {{ ternary "limits.cpu" "requests.cpu" (not (empty $limits.cpu)) }}
      divisor: "1"
{{- end }}
{{- end }}
