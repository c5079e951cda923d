{{- /* Values that contradict each other are refused here, with the value and the remedy. */}}
{{- define "limrank.check" -}}
{{- include "limrank.checkStopping" . }}
{{- include "limrank.checkModel" . }}
{{- include "limrank.checkScaling" . }}
{{- include "limrank.checkReaching" . }}
{{- include "limrank.checkOverrides" . }}
{{- end }}

{{- define "limrank.checkStopping" -}}
{{- $v := .Values }}
{{- $needed := addf $v.lifecycle.preStopSleepSeconds $v.shutdown.drainDelaySeconds $v.shutdown.drainBudgetSeconds 10 }}
{{- if lt (float64 $v.terminationGracePeriodSeconds) $needed }}
{{- fail (printf "terminationGracePeriodSeconds %v is too short: lifecycle.preStopSleepSeconds %v + shutdown.drainDelaySeconds %v + shutdown.drainBudgetSeconds %v + 10 for closing is %v; raise it to that, or calls are cut when a pod stops." $v.terminationGracePeriodSeconds $v.lifecycle.preStopSleepSeconds $v.shutdown.drainDelaySeconds $v.shutdown.drainBudgetSeconds $needed) }}
{{- end }}
{{- $deadline := int (include "limrank.progressDeadlineSeconds" .) }}
{{- $startup := int (include "limrank.startupBudgetSeconds" .) }}
{{- if le $deadline $startup }}
{{- fail (printf "progressDeadlineSeconds %d must exceed the start-up budget of %d s (startupProbe.periodSeconds x failureThreshold, and modelDownload.budgetSeconds); raise it or leave it null." $deadline $startup) }}
{{- end }}
{{- with $v.strategy.rollingUpdate }}
{{- if and (eq $v.strategy.type "RollingUpdate") (has (toString .maxSurge) (list "0" "0%")) (has (toString .maxUnavailable) (list "0" "0%")) }}
{{- fail "strategy.rollingUpdate.maxSurge and maxUnavailable are both 0, so no rollout could ever proceed; raise one." }}
{{- end }}
{{- end }}
{{- end }}

{{- define "limrank.checkModel" -}}
{{- $v := .Values }}
{{- $onHub := contains "/" $v.model.name }}
{{- if and $v.model.name $v.model.path }}
{{- fail (printf "model.name %q and model.path %q are both set; remove one." $v.model.name $v.model.path) }}
{{- end }}
{{- if and $v.model.revision (not $onHub) }}
{{- fail (printf "model.revision %q belongs to a hub id, and model.name is %q; set model.name to owner/name or remove the revision." $v.model.revision $v.model.name) }}
{{- end }}
{{- if and $v.modelDownload.enabled (not $onHub) }}
{{- fail (printf "modelDownload.enabled needs a hub id (owner/name) as model.name, and that is %q." $v.model.name) }}
{{- end }}
{{- if and $v.modelDownload.enabled $v.persistence.readOnly }}
{{- fail "modelDownload.enabled cannot write to a claim with persistence.readOnly; switch one off." }}
{{- end }}
{{- if and $onHub (not $v.modelDownload.enabled) (not $v.persistence.existingClaim) }}
{{- fail (printf "model.name %q is a hub id and the serving container never downloads: set modelDownload.enabled, or persistence.existingClaim to a claim whose cache holds it." $v.model.name) }}
{{- end }}
{{- if and $v.model.path (not $v.persistence.existingClaim) }}
{{- fail (printf "model.path %q is a folder of a claim that was filled before; name it in persistence.existingClaim." $v.model.path) }}
{{- end }}
{{- if and $v.persistence.existingClaim (not $v.persistence.enabled) }}
{{- fail (printf "persistence.existingClaim %q is named but persistence.enabled is false; enable it." $v.persistence.existingClaim) }}
{{- end }}
{{- if ge (int $v.scoring.chunkOverlap) (int $v.scoring.chunkTokens) }}
{{- fail (printf "scoring.chunkOverlap %v must be less than scoring.chunkTokens %v; lower the one or raise the other." $v.scoring.chunkOverlap $v.scoring.chunkTokens) }}
{{- end }}
{{- if gt (int $v.scoring.defaultReasoningBudget) (int $v.scoring.maxReasoningBudget) }}
{{- fail (printf "scoring.defaultReasoningBudget %v exceeds scoring.maxReasoningBudget %v; lower the one or raise the other." $v.scoring.defaultReasoningBudget $v.scoring.maxReasoningBudget) }}
{{- end }}
{{- if gt (int $v.scoring.defaultReasoningTokens) (int $v.scoring.maxReasoningTokens) }}
{{- fail (printf "scoring.defaultReasoningTokens %v exceeds scoring.maxReasoningTokens %v; lower the one or raise the other." $v.scoring.defaultReasoningTokens $v.scoring.maxReasoningTokens) }}
{{- end }}
{{- end }}

{{- define "limrank.checkScaling" -}}
{{- $v := .Values }}
{{- $gpus := index ($v.resources.limits | default dict) "nvidia.com/gpu" | default 0 | int }}
{{- $used := mul $v.engine.vllm.tensorParallelSize $v.engine.vllm.dataParallelSize | int }}
{{- if and $gpus (ne $gpus $used) }}
{{- fail (printf "resources.limits has nvidia.com/gpu: %d, and engine.vllm.tensorParallelSize %v x dataParallelSize %v uses %d; make them equal." $gpus $v.engine.vllm.tensorParallelSize $v.engine.vllm.dataParallelSize $used) }}
{{- end }}
{{- if and $v.autoscaling.enabled $v.keda.enabled }}
{{- fail "autoscaling.enabled and keda.enabled would both scale the same Deployment; switch one off." }}
{{- end }}
{{- if and $v.autoscaling.enabled (gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas)) }}
{{- fail (printf "autoscaling.minReplicas %v exceeds autoscaling.maxReplicas %v." $v.autoscaling.minReplicas $v.autoscaling.maxReplicas) }}
{{- end }}
{{- if and $v.keda.enabled (gt (int $v.keda.minReplicaCount) (int $v.keda.maxReplicaCount)) }}
{{- fail (printf "keda.minReplicaCount %v exceeds keda.maxReplicaCount %v." $v.keda.minReplicaCount $v.keda.maxReplicaCount) }}
{{- end }}
{{- if and $v.keda.enabled (not $v.keda.prometheus.serverAddress) }}
{{- fail "keda.enabled needs keda.prometheus.serverAddress, such as http://prometheus.monitoring:9090." }}
{{- end }}
{{- if and $v.keda.enabled (not $v.keda.prometheus.query) (not $v.metrics.serviceMonitor.enabled) }}
{{- fail "keda.prometheus.query is empty, and its default asks for the job that metrics.serviceMonitor gives, which is off; enable that, or set the query." }}
{{- end }}
{{- $modes := $v.persistence.accessModes }}
{{- if and $v.persistence.enabled (not $v.persistence.existingClaim) (include "limrank.scales" .) (not (or (has "ReadWriteMany" $modes) (has "ReadOnlyMany" $modes))) }}
{{- fail (printf "persistence.accessModes %v lets one node mount the claim, and several replicas would share it; use ReadWriteMany, or persistence.enabled=false." $modes) }}
{{- end }}
{{- with $v.podDisruptionBudget }}
{{- $min := include "limrank.plain" .minAvailable }}
{{- $max := include "limrank.plain" .maxUnavailable }}
{{- $fewest := include "limrank.fewestReplicas" $ | int }}
{{- $share := divf (mulf (trimSuffix "%" $min | float64) $fewest) 100.0 | ceil | int }}
{{- $kept := ternary $share (int $min) (contains "%" $min) }}
{{- if and .enabled $min (ge $kept $fewest) }}
{{- fail (printf "podDisruptionBudget.minAvailable %s of %d replicas lets no pod go, so nodes could never be drained; lower it, or leave it null." $min $fewest) }}
{{- end }}
{{- if and .enabled (not $min) (has $max (list "" "0" "0%")) }}
{{- fail (printf "podDisruptionBudget.maxUnavailable %q lets no pod go, so nodes could never be drained; use 1." $max) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "limrank.checkReaching" -}}
{{- $v := .Values }}
{{- if and $v.auth.enabled (has "*" $v.corsOrigins) }}
{{- fail "corsOrigins has \"*\", which is for servers without keys, and auth.enabled is true; name the origins of your pages." }}
{{- end }}
{{- if and $v.auth.enabled (not $v.auth.existingSecret) }}
{{- fail "auth.enabled needs auth.existingSecret, the name of a Secret with the file of keys; auth.enabled=false serves everyone who reaches the Service." }}
{{- end }}
{{- if and $v.metrics.port (eq (int $v.metrics.port) (int $v.containerPort)) }}
{{- fail (printf "metrics.port %v is also containerPort; choose another, or 0 to serve metrics on the service's port." $v.metrics.port) }}
{{- end }}
{{- if and $v.metrics.port (lt (int $v.metrics.port) 1024) }}
{{- fail (printf "metrics.port %v is a privileged port, which a process that is not root cannot open; choose one from 1024 on." $v.metrics.port) }}
{{- end }}
{{- if and $v.ingress.enabled (not $v.ingress.hosts) }}
{{- fail "ingress.enabled needs at least one entry in ingress.hosts." }}
{{- end }}
{{- if and $v.httpRoute.enabled (not $v.httpRoute.parentRefs) }}
{{- fail "httpRoute.enabled needs at least one gateway in httpRoute.parentRefs." }}
{{- end }}
{{- with $v.metrics.serviceMonitor }}
{{- if gt (int (trimSuffix "s" .scrapeTimeout)) (int (trimSuffix "s" .interval)) }}
{{- fail (printf "metrics.serviceMonitor.scrapeTimeout %s exceeds its interval %s, which Prometheus refuses." .scrapeTimeout .interval) }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Environment and flags that a value stands for would win over that value, past every check above. */}}
{{- define "limrank.checkOverrides" -}}
{{- $knobs := include "limrank.knobs" . | fromJson }}
{{- range .Values.env }}
{{- if hasKey $knobs .name }}
{{- fail (printf "env must not set %s: this chart has a value for it." .name) }}
{{- end }}
{{- end }}
{{- range .Values.engine.extraArgs }}
{{- $flag := index (splitList "=" .) 0 }}
{{- $name := printf "LIMRANK_%s" (regexReplaceAll "^--(no-)?" $flag "" | replace "-" "_" | upper) }}
{{- if and (hasPrefix "--" $flag) (hasKey $knobs $name) }}
{{- fail (printf "engine.extraArgs must not hold %s: this chart has a value for it." $flag) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "limrank.startupBudgetSeconds" -}}
{{- $probe := mul .Values.startupProbe.periodSeconds .Values.startupProbe.failureThreshold }}
{{- add $probe (ternary .Values.modelDownload.budgetSeconds 0 .Values.modelDownload.enabled) }}
{{- end }}

{{- define "limrank.progressDeadlineSeconds" -}}
{{- if .Values.progressDeadlineSeconds }}{{ int .Values.progressDeadlineSeconds }}
{{- else }}{{ add (int (include "limrank.startupBudgetSeconds" .)) 600 }}
{{- end }}
{{- end }}

{{- define "limrank.fewestReplicas" -}}
{{- if .Values.autoscaling.enabled }}{{ .Values.autoscaling.minReplicas }}
{{- else if .Values.keda.enabled }}{{ .Values.keda.minReplicaCount }}
{{- else }}{{ .Values.replicaCount }}
{{- end }}
{{- end }}
