package rotator

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// maxEvent is the longest event that Lambda takes, in bytes.
const maxEvent = 6 << 20

// Serve takes invocations from the Lambda Runtime API at the address api ("host:port")
// and gives them to h, one after the other, until ctx is done. An error means that the
// process has to end.
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
func Serve(ctx context.Context, api string, h *Handler) error {
	r := runtimeAPI{
		base: "http://" + api + "/2018-06-01/runtime/invocation/",
		// No proxy of the environment, and no timeout: next waits as long as it takes.
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}},
	}
	for {
		if err := r.one(ctx, h); ctx.Err() != nil {
			return nil
		} else if err != nil {
			return err
		}
	}
}

type runtimeAPI struct {
	base   string
	client *http.Client
}

// one takes one invocation and answers it.
func (r runtimeAPI) one(ctx context.Context, h *Handler) error {
	headers, event, err := r.call(ctx, http.MethodGet, "next", nil, nil)
	if err != nil {
		return err
	}
	id := headers.Get("Lambda-Runtime-Aws-Request-Id")
	if id == "" {
		return fmt.Errorf("the Runtime API gave an event without Lambda-Runtime-Aws-Request-Id")
	}
	within, cancel := ctx, context.CancelFunc(func() {})
	if ms, err := strconv.ParseInt(headers.Get("Lambda-Runtime-Deadline-Ms"), 10, 64); err == nil {
		within, cancel = context.WithDeadline(ctx, time.UnixMilli(ms))
	}
	failure := h.Handle(within, id, event)
	cancel()
	if failure == nil {
		_, _, err = r.call(ctx, http.MethodPost, id+"/response", nil, []byte("null"))
		return err
	}
	body, err := json.Marshal(failure)
	if err != nil {
		return err
	}
	_, _, err = r.call(ctx, http.MethodPost, id+"/error", http.Header{"Lambda-Runtime-Function-Error-Type": {failure.Type}}, body)
	return err
}

func (r runtimeAPI) call(ctx context.Context, method, path string, headers http.Header, body []byte) (http.Header, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, r.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	for k, v := range headers {
		req.Header[k] = v
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, nil, fmt.Errorf("the Runtime API does not answer: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxEvent+1))
	if err != nil {
		return nil, nil, fmt.Errorf("the Runtime API's answer: %w", err)
	}
	if len(answer) > maxEvent {
		return nil, nil, fmt.Errorf("the Runtime API's event is longer than %d bytes", maxEvent)
	}
	if resp.StatusCode/100 != 2 {
		return nil, nil, fmt.Errorf("the Runtime API answers %s to %s", resp.Status, path)
	}
	return resp.Header, answer, nil
}
