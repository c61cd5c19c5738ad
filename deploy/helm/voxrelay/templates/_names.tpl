{{- define "voxrelay.fullname" -}}
{{- if contains "voxrelay" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-voxrelay" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- /* What tells the pods of this release from all others; never changes, as selectors cannot. */}}
{{- define "voxrelay.selector" -}}
app.kubernetes.io/name: voxrelay
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "voxrelay.labels" -}}
{{ include "voxrelay.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: voxrelay
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- /*
Every Deployment there is, as a list of {name, service, lane, values}: the gateway, and each lane of each other service. `values` are the
defaults, what the service says otherwise, and what the lane says otherwise.
*/}}
{{- define "voxrelay.workloads" -}}
{{- $root := . }}
{{- range $service, $own := .Values.services }}
{{- $merged := mergeOverwrite (deepCopy $root.Values.defaults) (omit (deepCopy $own) "lanes") }}
{{- if eq $service "gateway" }}
- name: {{ printf "%s-gateway" (include "voxrelay.fullname" $root) }}
  service: gateway
  lane: ""
  values: {{ toJson $merged }}
{{- else }}
{{- range $lane, $further := $own.lanes }}
- name: {{ printf "%s-%s-%s" (include "voxrelay.fullname" $root) $service $lane }}
  service: {{ $service }}
  lane: {{ $lane }}
  values: {{ mergeOverwrite (deepCopy $merged) (deepCopy ($further | default dict)) | toJson }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- /* The labels that select one workload's pods. Takes {root, workload}. */}}
{{- define "voxrelay.workloadSelector" -}}
{{ include "voxrelay.selector" .root }}
app.kubernetes.io/component: {{ .workload.service }}
{{- with .workload.lane }}
voxrelay.io/lane: {{ . }}
{{- end }}
{{- end }}

{{- define "voxrelay.image" -}}
{{- if .workload.values.image }}{{ .workload.values.image }}
{{- else }}{{ printf "%s/%s:%s" .root.Values.image.registry .workload.service (.root.Values.image.tag | default .root.Chart.AppVersion) }}
{{- end }}
{{- end }}
