package lambda_test

import (
	lambdaapi "coffer/internal/api/lambda"
)

// layer publishes a version of a layer.
func (c client) layer(name, content string) *lambdaapi.PublishLayerVersionOutput {
	c.Helper()
	return must(c, lambdaapi.PublishLayerVersion, &lambdaapi.PublishLayerVersionInput{
		LayerName: &name, Description: &content, Content: &lambdaapi.LayerVersionContentInput{ZipFile: archive(c, "python/"+name+".py", content)},
		CompatibleRuntimes: []string{"python3.12"}, CompatibleArchitectures: []string{"x86_64"}, LicenseInfo: new("MIT"),
	})
}
