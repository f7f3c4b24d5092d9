// Package chart names the modules whose resource definitions the rendered charts are
// checked against, so that go.mod and go.sum pin them.
package chart

import (
	_ "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	_ "sigs.k8s.io/gateway-api/apis/v1"
)
